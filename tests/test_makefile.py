"""What users give to make reaches the program as they gave it, and make decides nothing that is theirs."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

GIVEN = {"CONFIG", "PROMPTS", "FILES", "STORAGE", "PORT", "CRON", "REPORTS", "HF_HUB_OFFLINE"}
SAYS = '#!/bin/sh\nprintf "%s\\0" "$HF_HUB_OFFLINE" "$@"\n'


def told(folder: Path, target: str, in_environment: bool = False, **given: str) -> tuple[str, list[str]]:
    """Whether the program of a target may ask the hub, by its variable, and the words that it is given."""
    for name in ("python", "pytest"):
        (folder / name).write_text(SAYS)
        (folder / name).chmod(0o755)
    for name in ("installed", "models"):
        (folder / name).touch()
    places = {"BIN": folder, "INSTALLED": folder / "installed", "MODELS": folder / "models"}
    command = ["make", "--silent", target, *(f"{name}={place}" for name, place in places.items())]
    clean = {name: value for name, value in os.environ.items() if name not in GIVEN and not name.startswith("MAKE")}
    words = [] if in_environment else [f"{name}={value}" for name, value in given.items()]
    environment = clean | given if in_environment else clean
    done = subprocess.run([*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    offline, *said, _ = done.stdout.split("\0")
    return offline, said


DEMO = "flows/configs/demo.toml"
ODD = [
    "export (1).json",
    'it\'s; "a" & b',
    "$HOME $$ $(shell touch made-by-make) ${y}",
    "a$(b",
    "`ls`|*",
    "a\\b #c",
    "-x",
    "v[old]",
]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("in_environment", [False, True])
def test_a_value_is_a_word_whatever_it_holds(tmp_path: Path, value: str, in_environment: bool) -> None:
    given = dict.fromkeys(GIVEN - {"HF_HUB_OFFLINE", "REPORTS"}, value)

    def said(target: str) -> list[str]:
        return told(tmp_path, target, in_environment, **given)[1]

    run = [f"--prompts={value}", f"--storage={value}"]
    assert said("build") == ["-m", "flows.pipeline", *run, "--", value]
    assert said("plan") == ["-m", "flows.pipeline", *run, "--plan", "--", value]
    taken = [f"--storage={value}", "--pull", f"--import={value}"]
    assert said("review") == ["-m", "flows.running.review", *taken, "--", value]
    assert said("demo") == ["-m", "flows.pipeline", DEMO, f"--storage={value}"]
    assert said("sql") == ["-m", "tasks.release.shell", value]
    assert said("verify") == ["-m", "tasks.release.verify", value]
    assert said("serve") == ["-m", "infra.serve", *[value] * 5]
    assert not (ROOT / "made-by-make").exists()


@pytest.mark.parametrize("value", ODD)
def test_a_folder_for_reports_is_a_word_whatever_it_holds(tmp_path: Path, value: str) -> None:
    said = told(tmp_path, "test-light", in_environment=True, REPORTS=value)[1]
    assert said[-1] == f"--junitxml={value}/test-light.xml"


def test_what_nobody_gives_has_a_default(tmp_path: Path) -> None:
    assert told(tmp_path, "build")[1] == ["-m", "flows.pipeline", "--", DEMO]
    assert told(tmp_path, "review")[1] == ["-m", "flows.running.review", "--pull", "--", DEMO]
    assert told(tmp_path, "sql")[1] == ["-m", "tasks.release.shell", "data"]
    assert told(tmp_path, "serve")[1] == ["-m", "infra.serve", "4200", "0 3 * * *", DEMO, "", ""]
    assert not any("junit" in word for word in told(tmp_path, "test-light")[1])


def test_the_demo_and_the_tests_ask_no_hub_and_other_runs_as_their_user_says(tmp_path: Path) -> None:
    for target in ("demo", "test-light", "test-machinery", "bench-overhead"):
        assert told(tmp_path, target)[0] == "1"
    for target in ("build", "plan", "serve", "review"):
        assert told(tmp_path, target)[0] == ""
        assert told(tmp_path, target, in_environment=True, HF_HUB_OFFLINE="0")[0] == "0"
