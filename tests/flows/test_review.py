import sys
from pathlib import Path

import pytest

from flows.running.review import main, pull
from tasks import config as configs
from tasks.errors import ConfigError
from tests.conftest import write_config
from tests.tasks.people.exports import SAFE, UNSAFE, annotation, export
from tests.tasks.people.test_review import project_in


def run(monkeypatch: pytest.MonkeyPatch, config: Path, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["flows.running.review", str(config), *more])
    main()


def test_exports_are_taken_in_counted_and_the_next_step_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    storage = tmp_path / "storage"
    project = project_in(storage)
    saved = tmp_path / "saved.json"
    saved.write_bytes(export(annotation(UNSAFE), annotation(SAFE, 2, 8), annotation([], 3, 9)))
    run(monkeypatch, config, "--pull", "--import", str(saved))
    first = capsys.readouterr()
    assert first.err == ""
    said = [" ".join(line.split()) for line in first.out.splitlines()]
    assert "│ harm │ valid │ 2 │" in said
    assert "│ harm │ half finished │ 1 │" in said
    assert f"project {project.uri}: {project.answers} answers, {project.pairs} pairs" in said
    assert any("FILES=export.json" in line for line in said)
    assert len(list((storage / "people").iterdir())) == 1
    run(monkeypatch, config, "--pull", "--import", str(saved))
    assert capsys.readouterr() == first


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"id,choice\n1,safe\n", "no JSON export of Label Studio"), (None, "cannot be read: No such file")],
)
def test_a_file_that_is_no_export_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    said: str,
) -> None:
    saved = tmp_path / "saved.csv"
    if content:
        saved.write_bytes(content)
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, write_config(tmp_path), "--import", str(saved))
    assert raised.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {saved}: {said}")
    assert not (tmp_path / "storage/people").exists()


def test_a_server_without_a_key_is_named_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + '\n[review.label_studio]\nurl = "http://127.0.0.1:1"\nkey_variable = "ABSENT"\n')
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(ConfigError, match=r"no key for http://127.0.0.1:1; .* variable ABSENT$"):
        pull(configs.load(str(path)), str(tmp_path))


def test_a_malformed_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, url = write_config(tmp_path), "http://127.0.0.1:1"
    path.write_text(path.read_text() + f'\n[review.label_studio]\nurl = "{url}"\n')
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "ключ")
    with pytest.raises(ConfigError, match=rf"the address {url} or the key in LABEL_STUDIO_API_KEY is malformed"):
        pull(configs.load(str(path)), str(tmp_path))


def test_without_a_server_nothing_is_pulled(tmp_path: Path) -> None:
    assert pull(configs.load(str(write_config(tmp_path))), str(tmp_path)) == 0
