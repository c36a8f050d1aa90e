"""End what a process that was killed left on this machine: servers that it started, and its folders of short-lived files.

In: nothing. Out: the processes of dead owners killed, their folders deleted. A process that builds releases says by `own` that it
is the owner of all that it starts, and names its folders after itself. Grain: one owner a process.
"""

import atexit
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
from itertools import count
from pathlib import Path

import psutil

OWNER = "SAFEPAIRS_OWNER"
"""Variable of the environment by which a process knows its owner; whatever the owner starts inherits it."""
PREFIX = "safepairs-"
LONGEST = 9
"""Characters of the name of the folder for temporary files, above which sockets below ours have too long names."""
PASSES = 10
SECONDS_TO_END = 0.5
IN_FOLDER = re.compile(rf".*/{PREFIX}(?P<owner>[0-9a-f]+-[0-9]+)-[^/]+/.*")
"""A file in a folder for short-lived files."""


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
def folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for short-lived files that only this user can enter; it ends with the body, or is swept."""
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{myself()}-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def temporary() -> Path:
    """Where such folders are made that have sockets in them."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST else Path("/tmp")  # noqa: S108 (mkdtemp, no fixed name)


@cache
def spilled(pid: int) -> tuple[Path, Iterator[int]]:
    """The folder for what this process cannot hold in memory, which ends with it or is swept, and numbers of parts of it."""
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{myself()}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path, count()


def spill() -> str:
    """Where somebody in this process may make a folder for what memory does not hold, and nobody else will."""
    path, numbers = spilled(os.getpid())
    return str(path / str(next(numbers)))


def sweep() -> None:
    """Kill processes whose owner is dead, and delete the folders of dead owners; those of other users are left alone.

    What is killed may have been an owner itself, as a run of a deployment is whose server was killed.
    """
    for _ in range(PASSES):
        if not (found := killed()):
            break
        psutil.wait_procs(found, SECONDS_TO_END)
    places: set[Path] = set()
    with suppress(OSError):  # there may be none
        places = {temporary(), Path(tempfile.gettempdir())}
    for path in [path for place in places for path in place.glob(f"{PREFIX}*")]:
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid() and is_dead(path.name.removeprefix(PREFIX).rpartition("-")[0]):
                shutil.rmtree(path, ignore_errors=True)


def killed() -> list[psutil.Process]:
    """The other processes of this user whose owner is dead, each of them killed."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.pid != os.getpid() and process.uids().real == os.getuid()
            if is_ours and is_dead(owner_of(process)):
                process.kill()
                found.append(process)
    return found


def owner_of(process: psutil.Process) -> str:
    """Who started a process; of one that wrote its title over its environment, as Ray's do, in whose folder it has files open."""
    environment = process.environ()
    if environment:
        return environment.get(OWNER, "")
    found = (IN_FOLDER.fullmatch(file.path) for file in process.open_files())
    return next((each["owner"] for each in found if each), "")


def is_dead(owner: str) -> bool:
    """Whether `owner` was a process of this machine and is no more, though nobody may have asked yet how it ended."""
    where, _, number = owner.partition("-")
    if where != here() or not re.fullmatch("[0-9]{1,9}", number):
        return False
    try:
        return psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
