"""Holds what people read true: trees, commands, queries, paths and links of every README and of CONTRIBUTING.md."""

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from tasks.release.release import Release
from tasks.tables import Stage
from tests.conftest import ROOT

PACKAGES = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
ROOMS = sorted(path.parent for path in ROOT.glob("tasks/*/__init__.py"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "infra/trust.md",
    *sorted(file for package in PACKAGES for file in package.rglob("README.md") if "output" not in file.parts),
]
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)]*)\)")
CODE = re.compile(r"`([^`\n]+)`")
SUFFIXES = "py|sql|md|toml|yaml|sh|csv|lock"
LONGEST_LINE = 100
LONGEST_ROOM = 60
Run = tuple[Path, Release, list[Stage]]

of_each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return FENCED.findall(document.read_text())


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return FENCED.sub("", document.read_text())


QUERIES = [
    pytest.param(text, id=f"{name} {number}")
    for document, name in zip(DOCUMENTS, NAMES, strict=True)
    for number, text in enumerate(text for language, text in blocks(document) if language == "sql")
]


def tree() -> str:
    return next(text for _, text in blocks(ROOT / "README.md") if text.startswith("flows/"))


def exists(path: str, *folders: Path) -> bool:
    """Whether the path, which may have a `*`, leads somewhere from one of the folders."""
    return any(next(folder.glob(path.rstrip("/")), None) is not None for folder in folders)


def commands(text: str) -> set[str]:
    """The targets of all `make TARGET` in code and blocks."""
    return set(re.findall(r"(?:`|`time |^)make ([\w-]+)", text, re.MULTILINE))


def helped() -> dict[str, str]:
    done = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(line.split(None, 1) for line in done.stdout.splitlines())


def test_the_tree_names_what_is_there() -> None:
    folder = ""
    for line in tree().splitlines():
        name = line.split()[0]
        folder = name if not line.startswith(" ") else folder
        assert (ROOT / (name if name == folder else folder + name)).exists(), name
        for mentioned in re.findall(r"\b\w+\.(?:py|toml|sh|yaml)\b", line):
            assert list((ROOT / folder).rglob(mentioned)), mentioned


def test_the_tree_names_every_package_and_every_room() -> None:
    lines = tree().splitlines()
    assert {line.split("/")[0] for line in lines if not line.startswith(" ")} == {path.name for path in PACKAGES}
    rooms = lines[lines.index(next(line for line in lines if line.startswith("tasks/"))) + 1 :][: len(ROOMS)]
    assert {line.split("/")[0].strip() for line in rooms} == {room.name for room in ROOMS}


@of_each_document
def test_every_command_is_a_make_target(document: Path) -> None:
    for target in commands(document.read_text()):
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_make_help_lists_every_target_that_a_person_calls() -> None:
    listed = helped()
    table = {target for line in prose(ROOT / "README.md").splitlines() if "|" in line for target in commands(line)}
    assert {"demo", "test", "build", "sql", "serve", "check"} <= table <= listed.keys()
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    targets = phony[1].replace("\\", "").split()
    assert targets[0] == "help"
    assert listed.keys() == set(targets)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs_on_a_release(scripted_run: Run, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    storage = scripted_run[0] / "storage"
    monkeypatch.chdir(storage)
    with duckdb.connect() as connection:
        connection.execute((storage / "releases/catalog.sql").read_text())
        assert connection.execute(query).fetchall()


def paths(document: Path) -> Iterator[str]:
    """What stands in code and looks like a path of this checkout: no placeholder, no address of a storage."""
    for code in CODE.findall(prose(document)):
        head, _, rest = code.partition("/")
        ours = any(head == path.name for path in PACKAGES) or (rest and (document.parent / head).is_dir())
        if re.fullmatch(r"[\w.*/-]+", code) and (ours or re.fullmatch(rf"[\w*-]+\.({SUFFIXES})", code)):
            yield code


@of_each_document
def test_every_path_leads_somewhere(document: Path) -> None:
    missing = [
        path
        for path in paths(document)
        if not exists(path, ROOT, document.parent)
        and ("/" in path or not any(exists(f"**/{path}", package) for package in PACKAGES))
    ]
    assert not missing


@of_each_document
def test_every_module_that_is_run_exists(document: Path) -> None:
    named = set(re.findall(r"python -m ([\w.]+)", document.read_text()))
    assert not [module for module in named if find_spec(module) is None]


@of_each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """The names under which the headings of a document can be linked to."""
    titles = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@of_each_document
def test_lines_of_prose_are_short(document: Path) -> None:
    lines = [LINK.sub("", line) for line in prose(document).splitlines() if not line.startswith("|")]
    assert not [line for line in lines if len(line) > LONGEST_LINE]


@pytest.mark.parametrize("room", ROOMS, ids=[room.name for room in ROOMS])
def test_each_room_has_a_page_that_names_its_modules_and_queries(room: Path) -> None:
    page = room / "README.md"
    names = {file.name for pattern in ("*.py", "sql/*.sql") for file in room.glob(pattern)} - {"__init__.py"}
    assert not names - set(CODE.findall(prose(page)))
    assert len(page.read_text().splitlines()) <= LONGEST_ROOM


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


def machine_paths(root: Path, names: list[str], texts: list[str]) -> list[str]:
    """Where the path of a checkout at `root` stands in texts; a short one may be a word of ours, but not what is in it."""
    path = re.escape(str(root))
    if len(root.parts) <= 3:
        inside = "|".join(sorted({re.escape(name.split("/")[0]) for name in names}))
        path = rf"(?<![\w.}}/-]){path}/(?:{inside})(?![\w-])"
    return [found[0] for text in texts for found in re.finditer(path, text)]


def test_no_machine_path_is_in_the_checkout() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in tracked.stdout.split("\0") if (ROOT / name).is_file()]
    texts = [(ROOT / name).read_text(errors="ignore") for name in names]
    for root in (ROOT, Path("/data"), Path("/safepairs")):
        assert machine_paths(root, names, texts) == []


@pytest.mark.parametrize("root", ["/data", "/safepairs", "/opt/safepairs", "/home/me/safepairs"])
def test_a_path_in_a_checkout_anywhere_is_a_machine_path(root: str) -> None:
    assert machine_paths(Path(root), ["flows/pipeline.py", "Makefile"], [f'open("{root}/flows/x.toml")'])
