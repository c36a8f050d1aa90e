import pytest
from rich.table import Table

from infra.terminal import terminal

ODD = "a\x1b[2Jb\u202ec\nd\x9b1m  [bold]:x:"
CLEAN = "a [2Jb c d 1m  [bold]:x:"


def test_no_text_moves_the_cursor_or_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(ODD, title=ODD)
    table.add_row(ODD)
    for printed in (ODD, table):
        terminal().print(printed, soft_wrap=True)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == CLEAN
    assert sum(CLEAN in line for line in others) == 3
    assert not {"\x1b", "\x9b", "\u202e"} & set("".join(others))
