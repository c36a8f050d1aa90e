"""What people see of a run at its end."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.running.reports import print_summary, quoted, report_release
from tasks.release.candidate import ANNOTATIONS
from tasks.release.release import Release
from tasks.tables import DROPPED, RESPONSES, VERDICTS, Ref, Stage
from tests.tasks.rows import make


def test_the_end_of_a_run_says_which_share_of_what_each_model_was_asked_has_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = {"stage": "prompts_to_responses", "responder": "a"}
    reasons = ("engine error", "filtered", "too long", "blank")
    verdict = {
        "annotator": "j",
        "annotator_kind": "model",
        "question": "harm",
        "rubric": "r",
        "flipped": False,
        "vote": 0,
        "attempt": 0,
    }
    tables = {
        "responses": make(RESPONSES, [{"responder": name} for name in "aaaab"]),
        "dropped": make(DROPPED, [left_out | {"reason": reason} for reason in reasons]),
        "verdicts": make(
            VERDICTS,
            [verdict | {"subject_id": str(n), "problem": "engine error" if n else None} for n in range(3)],
        ),
    }
    (tmp_path / "annotations").mkdir()
    for name, rows in tables.items():
        pq.write_table(rows, tmp_path / ANNOTATIONS[name])
    release, pages = Release("1", str(tmp_path), "passed"), list[str]()
    stages = [Stage("a", "b", 4, 0, Ref(f"{tmp_path}/dropped.parquet", 4, ""), {})]
    monkeypatch.setattr("flows.running.reports.create_markdown_artifact", lambda markdown, **_: pages.append(markdown))
    print_summary(release, stages)
    report_release(release, stages)
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for cells in (
        ("a", "answers", "8", "1 (14.29%)", "1 (14.29%)", "1 (12.50%)"),
        ("j", "verdicts on harm", "3", "2 (66.67%)", "0 (0.00%)", "0 (0.00%)"),
    ):
        assert f"│ {' │ '.join(cells)} │" in printed
        assert f"\n| {' | '.join(cells)} |\n" in pages[0]
    assert not any(line.startswith("│ b ") for line in printed)


def test_what_others_wrote_is_code_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = list[str]()
    monkeypatch.setattr("flows.running.reports.create_markdown_artifact", lambda markdown, **_: pages.append(markdown))
    monkeypatch.setattr(
        "flows.running.reports.unanswered", lambda release: [{"model": "a|`<b>", "asked for": "4 (0%)"}]
    )
    stages = [Stage("a", "b", 4, 0, Ref("", 0, ""), {})]
    report_release(Release("1", "/a`<b>", "passed`<b>\n# x"), stages)
    for said in ("\n\n`passed <b> # x`\n\n", "\n\n`/a <b>`\n\n", "| `a  <b>` | 4 (0%) |"):
        assert said in pages[0]
    report_release(Release("1", "/a", "passed, 1 of 63 rules broken: pairs.split_rows violated (warning)"), stages)
    assert "\n\npassed, 1 of 63 rules broken: pairs.split_rows violated (warning)\n\n" in pages[1]


@pytest.mark.parametrize("text", ["see www.a.example", "__b__", "_c_", "~~d~~", "<b>", "[e](f)", "g`|h"])
def test_what_others_wrote_is_code_on_a_page_where_markdown_would_make_something_of_it(text: str) -> None:
    assert re.fullmatch(r"`[^`|]+`", quoted(text))


def test_plain_words_and_numbers_stand_on_a_page_as_they_are() -> None:
    for text in ("passed, 2 warnings (1.5%)", "prompts_to_responses", "1,234", ""):
        assert quoted(text) == text
