"""A command that is told to stop: by Ctrl-C, which the whole group of its terminal gets, or by SIGTERM, which it gets alone."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.running import stopping
from tests.conftest import asked, write_config
from tests.flows.test_kill import committed, generating
from tests.processes import program, started_with
from tests.waiting import until

LINE = "stopped by {}; what is answered is kept: run again to go on"
IN_A_TERMINAL = [sys.executable, "-c", "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"]
"""Runs a command in a group of its own, as a shell does."""
TRACES = ("Traceback", "*** SIG", "Stack trace", "Check failed")


def is_free(lock: Path) -> bool:
    """Whether another run could have the storage."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def at_work(home: Path) -> list[psutil.Process]:
    """All that a command started and itself, whoever is their parent now."""
    return [one for one in started_with(home) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def is_deaf_to_ctrl_c(process: psutil.Process) -> bool:
    """Whether it blocks SIGINT, which all in a terminal's group get: it ends after those who talk with it, or they say so."""
    (blocked,) = re.findall(r"^SigBlk:\s(.*)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return bool(int(blocked, 16) >> (signal.SIGINT - 1) & 1)


def ray_starts(folder: Path) -> bool:
    """The store has its columns before the first job asks for a cluster."""
    return any(folder.glob("storage/tables/completions/*/columns-*.parquet"))


@pytest.mark.machinery
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("moment", "number"),
    [(ray_starts, signal.SIGINT), pytest.param(generating, signal.SIGTERM, marks=pytest.mark.long)],
    ids=["Ctrl-C while Ray starts", "SIGTERM while generating"],
)
def test_a_run_that_is_told_to_stop_ends_at_once_with_all_that_it_started(
    tmp_path: Path, moment: Callable[[Path], bool], number: signal.Signals
) -> None:
    config = write_config(tmp_path, [f"How do I plant {i} tulips?" for i in range(40)], seconds_per_row=0.25)
    home, log = tmp_path / "prefect", tmp_path / "log"
    with program([*IN_A_TERMINAL, sys.executable, "-m", "flows.pipeline", config], home, log) as driver:
        until(lambda: moment(tmp_path) or driver.poll() is not None, what=moment.__name__)
        assert [is_deaf_to_ctrl_c(one) for one in at_work(home) if "uvicorn" in one.cmdline()] == [True]
        os.killpg(driver.pid, number) if number == signal.SIGINT else driver.send_signal(number)
        until(lambda: driver.poll() is not None or is_free(tmp_path / "storage/.lock"), 60, "the run ends")
        left = [one for one in at_work(home) if one.pid != driver.pid]
        assert driver.wait(60) == 128 + number, log.read_text()
        assert not left
        assert not at_work(home)
    said = log.read_text(errors="replace")
    assert said.splitlines()[-1] == LINE.format(number.name)
    assert not [trace for trace in TRACES if trace in said]
    assert set(committed(tmp_path)) <= set(asked(tmp_path))


def said_by(
    script: str, folder: Path, number: signal.Signals, also: Callable[[], object] = lambda: None
) -> tuple[int, list[str]]:
    """How a command ends that is told to stop once it has said that it is ready, and what it says after that."""
    log = folder / "log"
    with program([sys.executable, "-c", script, folder], folder / "home", log) as command:
        until(lambda: "ready" in log.read_text() or command.poll() is not None)
        command.send_signal(number)
        also()
        code = command.wait(60)
        assert not at_work(folder / "home")
    return code, log.read_text().split("ready\n")[-1].splitlines()


IN_OTHER_CODE = """
import ctypes, signal
from flows.running.stopping import ends_at_once

with ends_at_once():
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    print("ready", flush=True)
    ctypes.CDLL(None).poll(None, 0, 1_000_000)
    ctypes.CDLL(None).poll(None, 0, 1_000_000)
"""


IGNORES_EXCEPTIONS = """
import logging, threading
from flows.running.stopping import ends_at_once

class Ignoring:
    def __del__(self):
        with logging._lock:
            print("ready", flush=True)
            threading.Event().wait()

with ends_at_once(), logging._lock:
    Ignoring()
    threading.Event().wait()
"""


@pytest.mark.parametrize("script", [IN_OTHER_CODE, IGNORES_EXCEPTIONS])
def test_a_command_ends_whatever_its_main_thread_is_at_and_whoever_took_the_signal(tmp_path: Path, script: str) -> None:
    code, said = said_by(script, tmp_path, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert said == [LINE.format("SIGTERM")]


HOLDS_A_STORAGE = """
import subprocess, sys, threading, time
from pathlib import Path
from flows.running.clusters import alone
from flows.running.stopping import ends_at_once

with ends_at_once(), alone(sys.argv[1]):
    subprocess.Popen(["sh", "-c", "trap '' TERM INT; while :; do sleep 0.1; done"])
    threading.Thread(target=threading.Event().wait).start()
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_the_storage_is_held_as_long_as_anything_of_the_run_works(tmp_path: Path) -> None:
    left: list[psutil.Process] = []

    def look() -> None:
        until(lambda: is_free(tmp_path / ".lock"), 60)
        left.extend(one for one in at_work(tmp_path / "home") if one.name() in ("sh", "sleep"))

    code, said = said_by(HOLDS_A_STORAGE, tmp_path, signal.SIGINT, look)
    assert (code, said) == (128 + signal.SIGINT, [LINE.format("SIGINT")])
    assert not left


NOBODY_READS = """
import os, threading
from flows.running.stopping import ends_at_once

reading, writing = os.pipe()
os.dup2(writing, 2)
os.close(reading)
with ends_at_once():
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_a_command_ends_where_nobody_reads_what_it_says(tmp_path: Path) -> None:
    assert said_by(NOBODY_READS, tmp_path, signal.SIGINT) == (128 + signal.SIGINT, [])


def test_ten_seconds_are_enough_for_all_that_an_end_waits_for() -> None:
    waits = (
        stopping.SECONDS_TO_LEAVE,
        stopping.SECONDS_TO_TERMINATE,
        stopping.SECONDS_TO_KILL,
        stopping.SECONDS_TO_LET_GO,
    )
    assert sum(waits) <= 10


STARTS_WHILE_IT_ENDS = """
import subprocess, threading
from flows.running.stopping import ends_at_once

with ends_at_once():
    late = "trap '(sleep 1000; sleep 1000) & exit' TERM; while :; do sleep 0.1; done"
    subprocess.Popen(["setsid", "sh", "-c", late])
    print("ready", flush=True)
    threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lead to no process whose parent has ended")
def test_what_a_process_starts_while_it_is_ended_is_ended_too(tmp_path: Path) -> None:
    code, _ = said_by(STARTS_WHILE_IT_ENDS, tmp_path, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM


ENDS_BY_ITSELF = """
import signal
from flows.running.stopping import ends_at_once

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
for _ in range(2):
    with ends_at_once():
        pass
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
print("ready", flush=True)
signal.pause()
"""


def test_a_command_that_ends_by_itself_gives_the_signals_back(tmp_path: Path) -> None:
    code, said = said_by(ENDS_BY_ITSELF, tmp_path, signal.SIGTERM)
    assert (code, said) == (-signal.SIGTERM, [])


HEARS_SIGTERM_ONLY = """
import os, signal, threading
from flows.running.stopping import ends_at_once

with ends_at_once():
    os.kill(os.getpid(), signal.SIGINT)
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_a_signal_that_a_command_was_started_to_ignore_is_ignored(tmp_path: Path) -> None:
    in_background = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{HEARS_SIGTERM_ONLY}"
    code, said = said_by(in_background, tmp_path, signal.SIGTERM)
    assert (code, said) == (128 + signal.SIGTERM, [LINE.format("SIGTERM")])


@pytest.mark.parametrize("module", ["flows.pipeline", "flows.running.review"])
def test_ctrl_c_while_a_command_imports_ends_it_without_a_stack(tmp_path: Path, module: str) -> None:
    # A module that is imported early and then waits, in place of the seconds that all of them take.
    (tmp_path / "argparse.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n")
    ended = subprocess.run(
        [sys.executable, "-m", module], env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
