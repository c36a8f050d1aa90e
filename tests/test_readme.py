import re
import subprocess
from pathlib import Path

import duckdb
import pytest

from tasks.release.release import Release
from tasks.tables import Stage
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
QUERIES = [text for language, text in BLOCKS if language == "sql"]
Run = tuple[Path, Release, list[Stage]]


def test_the_tree_names_what_is_there() -> None:
    tree = next(text for _, text in BLOCKS if text.startswith("flows/"))
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = name if not line.startswith(" ") else folder
        assert (ROOT / (name if name == folder else folder + name)).exists(), name
        for mentioned in re.findall(r"\b\w+\.(?:py|toml|sh)\b", line):
            assert list((ROOT / folder).rglob(mentioned)), mentioned
    listed = {line.split("/")[0] for line in tree.splitlines() if not line.startswith(" ")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert listed == packages


def test_every_command_is_a_make_target() -> None:
    named = set(re.findall(r"(?:`|time |^)make ([\w-]+)", README, re.MULTILINE))
    assert {"demo", "test", "build", "sql", "serve", "check"} <= named
    for target in named:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_runs_on_a_release(scripted_run: Run, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    storage = scripted_run[0] / "storage"
    monkeypatch.chdir(storage)
    with duckdb.connect() as connection:
        connection.execute((storage / "releases/catalog.sql").read_text())
        assert connection.execute(query).fetchall()


def test_there_are_five_queries() -> None:
    assert len(QUERIES) == 5


def test_the_shell_opens_the_catalog(scripted_run: Run) -> None:
    folder, release, _ = scripted_run
    done = subprocess.run(
        ["make", "--silent", "sql", f"STORAGE={folder}/storage"],
        cwd=ROOT,
        input=f'SELECT count(*) FROM dual; SELECT count(*) FROM "{release.version}".dual;',
        capture_output=True,
        text=True,
        check=True,
    )
    rows = duckdb.read_parquet(f"{release.uri}/dual/*/*.parquet").aggregate("count(*)").fetchone()
    assert rows is not None
    assert done.stdout.count(f" {rows[0]} ") == 2, done.stdout + done.stderr


def test_no_machine_path_is_in_the_checkout() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in tracked.stdout.split("\0") if name]
    needle = str(ROOT)
    assert not [file for file in files if file.is_file() and needle in file.read_text(errors="ignore")]
