"""What `.ci/steps.py` makes of its steps: all of them run, and the end says what failed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import Popen

import psutil

from tests.conftest import ROOT
from tests.waiting import until

STEPS = """
import json, runpy, sys
from pathlib import Path
module = runpy.run_path(sys.argv[1])
names = module["main"].__globals__
names |= {name: json.loads(given) for name, given in json.loads(sys.argv[2]).items()}
names["OUTPUT"] = Path(sys.argv[3])
sys.exit(names["main"]())
"""
REPORT = (
    'printf \'<testsuite><testcase classname="a" name="b"/><testcase classname="a" name="c"><failure/></testcase>%s\''
)


def start(folder: Path, install: str, *lanes: dict[str, str]) -> Popen[str]:
    given = {"INSTALLED": {"install": install}, "PREPARED": {"prepare": "true"}, "TESTED": lanes}
    words = [ROOT / ".ci/steps.py", json.dumps({name: json.dumps(value) for name, value in given.items()}), folder]
    return Popen(
        [sys.executable, "-c", STEPS, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end(steps: Popen[str]) -> tuple[int, list[str]]:
    """The exit status, and the last lines: the names of what failed and the sum."""
    printed, _ = steps.communicate(timeout=300)
    lines = printed.splitlines()
    return steps.returncode, [line for line in lines if line.startswith("FAILED")] + lines[-1:]


def test_all_steps_run_and_what_failed_is_named(tmp_path: Path) -> None:
    report = f'mkdir -p "$REPORTS"; {REPORT} "$1"'
    lanes = (
        {"bytes": "printf '\\377'", "fails": "exit 3", "after": "true"},
        {
            "tests": f"set '</testsuite>'; {report} > \"$REPORTS/x.xml\"; exit 1",
            "cut": f'set ""; {report} > "$REPORTS/y.xml"',
        },
    )
    code, last = end(start(tmp_path, "true", *lanes))
    assert code == 1
    assert [line.split(":")[0] for line in last[:-1]] == [
        "FAILED fails (exit status 3)",
        "FAILED tests (exit status 1)",
        "FAILED a",
        "FAILED y.xml cannot be read",
    ]
    assert last[-1] == "1 passed, 3 failed"


def test_steps_that_go_well_are_green(tmp_path: Path) -> None:
    assert end(start(tmp_path, "true", {"one": "true"}, {"other": "true"})) == (0, ["0 passed, 0 failed"])


def test_steps_that_would_install_what_is_missing_run_in_turn(tmp_path: Path) -> None:
    alone = f"mkdir {tmp_path}/alone && sleep 0.1 && rmdir {tmp_path}/alone"
    code, last = end(start(tmp_path, "false", *({str(number): alone} for number in range(8))))
    assert (code, last) == (1, ["FAILED install (exit status 1)", "0 passed, 1 failed"])


def test_a_run_that_is_told_to_end_leaves_nothing_at_work_and_says_so(tmp_path: Path) -> None:
    steps = start(tmp_path, "true", {"long": f"echo $$ > {tmp_path}/pid; sleep 600", "never": "touch never"})
    until((tmp_path / "pid").exists)
    until((tmp_path / "pid").read_text)
    steps.send_signal(signal.SIGTERM)
    code, last = end(steps)
    assert (code, last[:-1]) == (1, ["FAILED long (ended by SIGTERM)", "FAILED never (not run: ended by SIGTERM)"])
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
