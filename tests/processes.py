"""Programs that tests start, each with a Prefect home of its own, by which all that it started is found and ended."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.conftest import ROOT

SECONDS_TO_END = 30


def own_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a user whose Prefect has its home in `home` and no server: not the one that tests share."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    started = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
    return kept | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", started: "300"} | variables


def started_with(home: Path) -> list[psutil.Process]:
    """All processes whose Prefect home this is, whoever their parent is now, and all that these started.

    Ray's workers write their title over their environment: they are found by the process that started them.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PREFECT_HOME") == str(home):
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    return list(found.values())


def end(home: Path) -> None:
    """`kill -9` of all of them, until none is left."""
    while processes := started_with(home):
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=SECONDS_TO_END)


@contextmanager
def program(
    command: Sequence[str | Path], home: Path, log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in the checkout, its output in `log`; whatever it started is ended with the body."""
    home.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=own_environment(home, **variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        end(home)
        process.wait()
