"""End a command when it is told to: by Ctrl-C or by SIGTERM.

In: a signal, whoever else takes it (Prefect and Ray take SIGTERM) and whatever the main thread is at. Out: one line and an
exit code of 128 and its number, with all ended that the command started. The body is left first, as by any exception, so
that jobs on other machines are stopped; if that takes too long, or what the main thread is at ignores exceptions, as functions
called at a fork do, the process ends without it: by a thread that takes no lock that the main thread may hold.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from infra import lock

PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2)."""
prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
SECONDS_TO_LEAVE = 5.0
SECONDS_TO_TERMINATE = 1.0
SECONDS_TO_KILL = 2.0
SECONDS_TO_LET_GO = 1.0


@contextmanager
def ends_at_once(seconds: float = SECONDS_TO_TERMINATE) -> Iterator[None]:
    """Make SIGINT and SIGTERM end the process while the body runs; called in the main thread of a process that is a command.

    What it started has so many `seconds` to end by itself. A signal that the process was started to ignore, as shells do for what
    is in the background, stays ignored.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    terminal = os.dup(2)
    told, left = threading.Event(), threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        if not told.is_set():
            told.set()
            be_silent()
            raise KeyboardInterrupt

    watcher = threading.Thread(target=watch, args=(reading, terminal, left, seconds), daemon=True)
    watcher.start()
    # Python writes the number of each signal there, even while the main thread is in code that does not come back to it.
    fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heard}
    try:
        yield
    finally:
        told.set()  # from here on it is too late to leave
        left.set()
        signal.set_wakeup_fd(fd)
        os.close(writing)
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(terminal)


def watch(reading: int, terminal: int, left: threading.Event, seconds: float) -> None:
    """End the process once the number of such a signal can be read, and the body was left or time is up."""
    numbers = iter(lambda: os.read(reading, 1), b"")
    number = next((number[0] for number in numbers if number[0] in (signal.SIGINT, signal.SIGTERM)), None)
    if number is not None:
        adopt()
        be_silent()
        left.wait(SECONDS_TO_LEAVE)
        end(number, terminal, seconds)


def adopt() -> None:
    """Have Linux make a child of this process of each below it whose parent ends: no other way leads to it then."""
    if prctl:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def be_silent() -> None:
    """Let nothing be written any more: what is ended in the middle of its work says so at length."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def end(number: int, terminal: int, seconds: float) -> None:
    """End all that this process started, what starts meanwhile too, then itself; only then the storage is let go."""
    try:
        signal_all(psutil.Process.terminate, seconds)
        deadline = time.monotonic() + SECONDS_TO_KILL  # one that waits for a disk cannot be ended
        while signal_all(psutil.Process.kill, SECONDS_TO_KILL) and time.monotonic() < deadline:
            pass
        letting_go = threading.Thread(target=lock.UNTIL_THE_END.close, daemon=True)
        letting_go.start()
        letting_go.join(SECONDS_TO_LET_GO)
        name = signal.Signals(number).name
        os.write(terminal, f"stopped by {name}; what is answered is kept: run again to go on\n".encode())
    finally:  # whoever read what it writes may have gone before it
        os._exit(128 + number)


def signal_all(signalled: Callable[[psutil.Process], None], seconds: float) -> bool:
    """Signal all processes below this one, and wait for them to end; whether there were any."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            signalled(child)
    psutil.wait_procs(children, seconds)
    return bool(children)
