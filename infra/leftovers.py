"""End what a process that was killed left on this machine: servers that it started, and its folders of short-lived files.

In: nothing. Out: the processes of dead owners killed, their folders deleted. A process that builds releases says by `own` that it
is the owner of all that it starts, and names its folders after itself. Grain: one owner a process.
"""

import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

OWNER = "SAFEPAIRS_OWNER"
"""Variable of the environment by which a process knows its owner; whatever the owner starts inherits it."""
PREFIX = "safepairs-"
LONGEST = 9
"""Characters of the name of the folder for temporary files, above which sockets below ours have too long names."""


def own() -> None:
    """Make this process the owner of what it starts from now on; sweep first, but only once."""
    if os.environ.get(OWNER) != myself():
        sweep()
        os.environ[OWNER] = myself()


def myself() -> str:
    """This process, as an owner."""
    return f"{here()}-{os.getpid()}"


@cache
def here() -> str:
    """Tells apart machines that share a folder, and containers that share a machine: the same number is another process there."""
    space = os.stat("/proc/self/ns/pid").st_ino if sys.platform == "linux" else 0
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:4]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for short-lived files that only this user can enter; it ends with the body, or is swept."""
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{myself()}-", dir=temporary()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def temporary() -> Path:
    """Where such folders are made."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST else Path("/tmp")  # noqa: S108 (mkdtemp, no fixed name)


def sweep() -> None:
    """Kill processes whose owner is dead, and delete the folders of dead owners; those of other users are left alone."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == os.getuid() and is_dead(process.environ().get(OWNER, "")):
                process.kill()
    for path in temporary().glob(f"{PREFIX}*"):
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid() and is_dead(path.name.removeprefix(PREFIX).rpartition("-")[0]):
                shutil.rmtree(path, ignore_errors=True)


def is_dead(owner: str) -> bool:
    """Whether `owner` was a process of this machine and is no more."""
    where, _, number = owner.partition("-")
    return where == here() and re.fullmatch("[0-9]{1,9}", number) is not None and not psutil.pid_exists(int(number))
