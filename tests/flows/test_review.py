import re
import shlex
import sys
from pathlib import Path

import pytest

from flows.running.reports import print_summary
from flows.running.review import main, named, pull
from tasks import config as configs
from tasks.errors import ConfigError
from tasks.release.release import Release
from tasks.tables import Ref, Stage
from tests.conftest import ROOT, write_config
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


@pytest.mark.parametrize("name", ["v[old]", "x[/y]z", ":smile: [bold]b", "[link=https://a.org]c"])
def test_what_users_name_is_printed_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name.replace("/", "")
    config = write_config(tmp_path, storage=folder)
    project = project_in(folder)
    saved = folder / f"{name}.json"
    saved.parent.mkdir(parents=True, exist_ok=True)
    saved.write_bytes(export(annotation(UNSAFE)))
    run(monkeypatch, config, "--import", str(saved))
    drops = [{"stage": "a", "reason": name, "rows": 1}]
    monkeypatch.setattr("flows.running.reports.warehouse.rows", lambda query, _: drops if query == "drops" else [])
    print_summary(
        Release("1", f"{folder}/releases/{name}", f"passed {name}"), [Stage("a", "b", 1, 0, Ref("", 1, ""), {})]
    )
    printed = capsys.readouterr().out
    assert f"taken in  {saved} as {folder}/people/" in printed
    assert f"project   {project.uri}: " in printed
    assert f"release   {folder}/releases/{name}\n" in printed
    assert f"gate      passed {name}\n" in printed
    assert f"│ a     │ {name}" in printed
    (named,) = [line for line in printed.splitlines() if "make sql" in line]
    assert shlex.split(named) == ["next", "make", "sql", f"STORAGE={folder}"]


def test_there_is_one_console_and_it_is_given_no_text_that_it_has_not_cleaned() -> None:
    made = {path for room in ("flows", "tasks", "infra", "expectations") for path in (ROOT / room).rglob("*.py")}
    others = re.compile(r"import Console|rich\.text|rich import print")
    assert {path.name for path in made if others.search(path.read_text())} == {"terminal.py"}


def test_files_are_named_as_in_a_shell_and_one_with_any_name_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["export (1).json", "it's.json", "a.json", "b.json", "v[1].json", "v1.json", "$HOME;x.json"]
    for name in names:
        Path(name).write_text("")
    for name in [*names, "absent.json", "isn't.json", "s3://bucket/a.json", "nul'\0"]:
        assert named(name) == [name]
    assert named("'v[1].json' b.json") == ["v[1].json", "b.json"]
    assert named("'export (1).json' a.json") == ["export (1).json", "a.json"]
    assert named("?.json absent*.json s3://b/*.json") == ["a.json", "b.json", "absent*.json", "s3://b/*.json"]


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
