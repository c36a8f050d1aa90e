"""What CI runs: linters, the README's test command, real vLLM, a real browser on the Prefect UI, and a real Label Studio.

Every step runs, whatever became of those before it. The last lines are a table of steps and the names of what failed; the
exit status is 1 if anything did. After 74 minutes, at Ctrl-C and at SIGTERM it ends what is at work, runs nothing more, and
says so.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests/output"
MINUTES_AT_MOST = 74
STARTED = time.monotonic()
CHROMIUM = "command -v chromium || { apt-get update -qq && apt-get install -y -qq chromium; }"
INSTALLED = {"install": "make install"}
PREPARED = {
    "lint": "make lint",
    "models": "make models",
    "install vllm": "make install-vllm",
    "install label studio": "make install-label-studio",
    "install chromium": CHROMIUM,
}
TESTED = (
    {"test": "make test"},
    {"test-browser": "make test-browser", "test-review": "make test-review", "test-vllm": "make test-vllm"},
)
"""Two lanes side by side: the tests of one wait for servers most of the time."""


at_work: set[int] = set()
"""Process groups of the steps that run."""
stopped = ""
"""Why nothing more is to run, if so."""


@dataclass(frozen=True)
class Done:
    """A step: its name, seconds, how many tests passed, the names of those that failed, and how it ended itself if not well."""

    name: str
    seconds: float
    passed: int
    failed: tuple[str, ...]
    fault: str

    @property
    def failures(self) -> int:
        """How many tests failed; 1 where the step failed without any."""
        return len(self.failed) or int(self.fault != "")


def stop(why: str) -> None:
    """End all steps that run, and run no other one."""
    global stopped  # noqa: PLW0603 (read by the threads of all lanes)
    stopped = stopped or why
    for group in tuple(at_work):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def run(name: str, command: str) -> Done:
    """Run a step, its output in a file that is printed when it ends."""
    began, reports = time.monotonic(), OUTPUT / name
    shutil.rmtree(reports, ignore_errors=True)
    if stopped:
        return Done(name, 0, 0, (), f"not run: {stopped}")
    environment = os.environ | {"REPORTS": str(reports)}
    with (OUTPUT / f"{name}.log").open("w+", errors="replace") as log:
        step = subprocess.Popen(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        at_work.add(step.pid)
        if stopped:
            stop(stopped)
        code = step.wait()
        at_work.discard(step.pid)
        log.seek(0)
        sys.stdout.write(f"\n=== {name}: {command}\n{log.read()}")
        sys.stdout.flush()
    passed, failed = counts(reports)
    fault = (stopped or f"exit status {code}") if code else ""
    return Done(name, time.monotonic() - began, passed, failed, fault)


def counts(reports: Path) -> tuple[int, tuple[str, ...]]:
    """How many tests passed, and the names of those that did not, by JUnit's reports in a folder."""
    cases: list[ElementTree.Element] = []
    failed: set[str] = set()
    for report in reports.glob("*.xml"):
        try:
            cases += ElementTree.parse(report).getroot().iter("testcase")
        except ElementTree.ParseError as error:
            failed.add(f"{report.name} cannot be read: {error}")
    failed |= {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if {"failure", "error"} & {part.tag for part in case}
    }
    passed = sum(not {"failure", "error", "skipped"} & {part.tag for part in case} for case in cases)
    return passed, tuple(sorted(failed))


def run_in_turn(steps: dict[str, str]) -> list[Done]:
    """Run some steps, one after another."""
    return [run(*step) for step in steps.items()]


def run_beside(lanes: Sequence[dict[str, str]]) -> list[Done]:
    """Run lanes of steps side by side."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        return [done for lane in pool.map(run_in_turn, lanes) for done in lane]


def main() -> int:
    """Install, prepare and test; prints the table."""
    OUTPUT.mkdir(exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, _: stop(f"ended by {signal.Signals(given).name}"))
    clock = threading.Timer(MINUTES_AT_MOST * 60, stop, [f"ended, since {MINUTES_AT_MOST} minutes are over"])
    clock.daemon = True
    clock.start()
    done = run_in_turn(INSTALLED)
    if done[0].fault:  # each step installs what is missing: not two at once
        done += run_in_turn({name: step for lane in (PREPARED, *TESTED) for name, step in lane.items()})
    else:
        done += run_beside([{name: step} for name, step in PREPARED.items()]) + run_beside(TESTED)
    print(f"\n{'step':<22}{'seconds':>8}{'passed':>8}{'failed':>8}")
    for step in done:
        print(f"{step.name:<22}{step.seconds:>8.0f}{step.passed:>8}{step.failures:>8}")
    print(f"{'whole':<22}{time.monotonic() - STARTED:>8.0f}")
    for step in done:
        if step.fault:
            print(f"FAILED {step.name} ({step.fault})")
        for name in step.failed:
            print(f"FAILED {name}")
    failures = sum(step.failures for step in done)
    print(f"{sum(step.passed for step in done)} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
