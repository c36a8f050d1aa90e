"""Holds what keeps the tests true of the code alone: not of the clock, of a seed, or of the packages of the day."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from tests.bench import compare
from tests.bench.overhead import measured
from tests.conftest import ROOT
from tests.examples import examples

MODULES = sorted((ROOT / "tests").rglob("*.py"))
SLEEPS = {"sleep", "wait_for_timeout"}
INSTALLERS = ("Makefile", "*Dockerfile*", "*.sh", ".ci/*")
"""Files whose commands install packages."""
INSTALL = re.compile(
    r"""(?:\bpip3?["']?\s+install|\buv["']?\s+(?:pip\s+)?(?:install|sync|add|tool)|\buvx|\bpipx|^\s*install)\s([^;&|\n]*)""",
    re.MULTILINE,
)
"""A command that installs packages of Python; `install` by itself is a function of a script that hands on to one."""
LOCKS = re.compile(r".*\.lock")
TAKES_A_LOCK = {"-r", "--requirement"}
TAKES_A_VALUE = {"-c", "--constraint", "-p", "--python", "-i", "--index-url", "--extra-index-url", "-f", "--find-links"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def sleeping(text: str) -> list[int]:
    """The lines of a module in which it sleeps, or gets hold of what sleeps."""
    nodes = list(ast.walk(ast.parse(text)))
    called = [node.lineno for node in nodes if isinstance(node, ast.Attribute) and node.attr in SLEEPS]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return sorted([*called, *(node.lineno for node in imports if SLEEPS & {name.name for name in node.names})])


def test_only_until_sleeps() -> None:
    found = {named(path): lines for path in MODULES if (lines := sleeping(path.read_text()))}
    assert found.keys() == {"tests/waiting.py"}


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "from time import sleep",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)",
        "page.wait_for_timeout(500)",
    ],
)
def test_each_way_to_sleep_is_seen(text: str) -> None:
    assert sleeping(text)


def test_every_property_has_the_examples_of_the_profile() -> None:
    own = [
        named(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "hypothesis"
        and "settings" in {alias.name for alias in node.names}
    ]
    assert own == ["tests/conftest.py", "tests/examples.py", "tests/test_tests.py"]


def test_properties_are_tried_on_the_same_examples_in_every_run_unless_new_ones_are_searched_for() -> None:
    steady, searching = settings.get_profile("steady"), settings.get_profile("searching")
    assert steady.derandomize
    assert not searching.derandomize
    assert searching.max_examples == 10 * steady.max_examples
    for profile in (steady, searching):
        assert profile.database is None
        assert profile.deadline is None
        assert profile.print_blob


def test_the_number_of_examples_follows_the_profile() -> None:
    current = settings.get_current_profile_name()
    assert current in {"steady", "searching"}
    try:
        for profile, times in (("steady", 1), ("searching", 10)):
            settings.load_profile(profile)
            assert examples(30).max_examples == 30 * times
            assert examples(30).derandomize == (profile == "steady")
    finally:
        settings.load_profile(current)


def loose(text: str) -> list[str]:
    """The commands in a file that install something that no lock names."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    return [match[0].strip() for match in INSTALL.finditer(joined) if not list(locked(match[1]))]


def locked(arguments: str) -> Iterator[str]:
    """The locks that all is installed from, `.` for the checkout without what it needs; nothing where a package is named."""
    words = iter(shlex.split(arguments))
    found = []
    for word in words:
        if word in TAKES_A_LOCK and LOCKS.fullmatch(lock := next(words, "")):
            found.append(lock)
        elif word in TAKES_A_VALUE:
            next(words, "")
        elif (word == "." and {"--no-deps", "--editable"} <= set(arguments.split())) or word == "$@":
            found.append(word)
        elif not word.startswith("--") or word in TAKES_A_LOCK:
            return
    yield from found


def test_nothing_is_installed_without_a_lock() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--", *INSTALLERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = tracked.stdout.splitlines()
    assert {"Makefile", "infra/Dockerfile", ".ci/run"} <= set(names)
    assert {name: found for name in names if (found := loose((ROOT / name).read_text()))} == {}


@pytest.mark.parametrize(
    ("command", "is_loose"),
    [
        ("pip install label-studio==1.23.*", True),
        ("$(BIN)/pip install --quiet --constraint a.lock --editable '.[dev]'", True),
        ("pip install --editable .", True),
        ("pip install .", True),
        ("pip install -r names.txt", True),
        ("pip install --no-deps -r \\\n   infra/requirements/a.lock numpy", True),
        ("uv pip install -U httpx", True),
        ('"$pip" install uv', True),
        ("uv tool install ruff", True),
        ("a && uvx ruff", True),
        ("install numpy", True),
        ("pip install --require-hashes --no-deps --requirement infra/requirements/a.lock", False),
        ('install --requirement "$locks/$lock.lock"', False),
        ('install() { uv pip install --python "$folder" --no-deps --verify-hashes "$@"; }', False),
        ("python -m pip install --quiet --no-deps --no-build-isolation --editable .", False),
        ("apt-get update && apt-get install --yes gcc", False),
        ("# pip install numpy", False),
        ("install: .venv/installed ## packages", False),
    ],
)
def test_each_way_to_install_a_package_is_seen(command: str, is_loose: bool) -> None:
    assert bool(loose(command)) == is_loose


def test_what_a_benchmark_prints_is_compared_by_stage_whatever_names_prefect_draws() -> None:
    here = [
        "(a) the first",
        measured("bare", 10.0, 5),
        "(b) the whole flow",
        measured("labels_to_pairs-0a1", 3.0, 9000),
    ]
    here += [measured("prompts_to_responses-b-02c", 20.0, 1), measured("prompts_to_responses-a-33a", 1.0, 1)]
    base = ["(b) the whole flow", measured("labels_to_pairs-c2f", 2.0, 1)]
    base += [measured("prompts_to_responses-a-901", 10.0, 1), measured("prompts_to_responses-b-777", 0.5, 1)]
    base += [measured("brave-owl", 0.5, 1), measured("all", 0.0, 1)]
    shown = list(compare.table(*(compare.best([compare.read("\n".join(lines))]) for lines in (base, here))))
    assert [line.split() for line in shown] == [
        ["(a)", "the", "first"],
        ["bare", "-", "10.0", "s", "-"],
        ["(b)", "the", "whole", "flow"],
        ["labels_to_pairs", "2.0", "s", "3.0", "s", "1.50"],
        ["prompts_to_responses", "10.5", "s", "21.0", "s", "2.00"],
        ["end", "of", "the", "flow", "0.5", "s", "-", "-"],
        ["all", "0.0", "s", "-", "-"],
    ]


def test_the_other_commit_is_checked_out_beside_the_repository_and_goes_whatever_happens(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    (tmp_path / "file").write_text("before")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    (tmp_path / "file").write_text("after")
    seen = []
    with suppress(KeyboardInterrupt), compare.checkout(tmp_path, "HEAD") as tree:
        seen.append((tree / "file").read_text())
        raise KeyboardInterrupt
    assert seen == ["before"]
    assert not tree.exists()
    with pytest.raises(SystemExit, match="BASE=none: no commit"), compare.checkout(tmp_path, "none"):
        pass
