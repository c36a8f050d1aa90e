"""Let one run at a time work on a storage.

In: the storage's address. Out: a context in which no other run is inside, on this machine or another, and a function
that says whether that still holds.
On disk the kernel holds the lock and lets go when the process ends, however it ends. In a bucket it is a lease: an object
that its holder rewrites every few seconds with `If-Match`. Nobody compares clocks: a lease that does not change while
another run watches it is dead, and that run takes it over. What is pushed onto `UNTIL_THE_END` is held until this process ends.
"""

import atexit
import errno
import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import sleep
from typing import TextIO

from infra import storage

SECONDS_BETWEEN_BEATS = 5.0
SECONDS_TO_LIVE = 20.0
UNTIL_THE_END = ExitStack()
atexit.register(UNTIL_THE_END.close)


class Held(Exception):
    """Another run is at work on the storage; says who."""


StillHeld = Callable[[], bool]


@contextmanager
def exclusive(root: str) -> Iterator[StillHeld]:
    """Hold the storage at `root` while the body runs; gives what tells whether nobody took it over.

    Raises:
        Held: another run holds it.
    """
    with lease(storage.join(root, "lease.json")) if "://" in root else flock(os.path.join(root, ".lock")) as still_held:
        yield still_held


@contextmanager
def flock(path: str) -> Iterator[StillHeld]:
    """Hold a lock of the kernel on the file at `path`."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Held(file.read()) from None
        file.truncate(0)
        file.write(myself())
        file.flush()
        yield lambda: True


def opened(path: str) -> TextIO:
    """The file of a lock, made where there is none; raises OSError where a link stands there, whose target is no lock."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o666)

    return open(path, "a+", encoding="utf-8", errors="replace", opener=opener)


@contextmanager
def lease(uri: str) -> Iterator[StillHeld]:
    """Hold the object at `uri`, beating until the body ends."""
    holder = uuid.uuid4().hex
    tag = take(uri, holder)
    ended, lost = threading.Event(), threading.Event()

    def beat() -> None:
        held = tag
        number = 1
        while not ended.wait(SECONDS_BETWEEN_BEATS):
            try:
                held = storage.replace(uri, content(holder, number), held)
                number += 1
            except (FileExistsError, FileNotFoundError):
                # Ours all the same, if a beat arrived whose answer did not, and was sent again.
                with suppress(*storage.FAULTS):
                    still = tag_of(uri, holder)
                    if still is None:
                        lost.set()
                        return
                    held = still
            except storage.FAULTS:
                continue

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        ended.set()
        beating.join()
        # Where the store is gone, the lease dies by itself, and what the body raised is what people must read.
        with suppress(*storage.FAULTS):
            let_go(uri, holder)


def take(uri: str, holder: str) -> str:
    """Put our lease at `uri`, over a dead one if need be; give its tag, which a store must tell that is to hold leases."""
    with suppress(FileExistsError):
        tag = storage.create(uri, content(holder, 0))
        if tag is None:
            storage.remove(uri)
            raise OSError(errno.ENOTSUP, "the store tells no ETag, without which no run can hold it", uri)
        return tag
    seen = storage.etag(uri)
    sleep(SECONDS_TO_LIVE)
    if seen is not None and storage.etag(uri) == seen:
        with suppress(FileExistsError, FileNotFoundError):
            return storage.replace(uri, content(holder, 0), seen)
    if storage.etag(uri) is None:
        raise Held("which has just ended")
    raise Held(told(uri).get("who", "which does not say who it is"))


def let_go(uri: str, holder: str) -> None:
    """Delete our lease at `uri`, and no other one that stands there by now."""
    tag = tag_of(uri, holder)
    if tag:
        storage.discard(uri, tag)


def tag_of(uri: str, holder: str) -> str | None:
    """The tag of the holder's lease at `uri`; None where another one stands there, or none."""
    # In this order: what has the tag is the holder's, if what is read later is.
    tag = storage.etag(uri)
    return tag if tag and told(uri).get("holder") == holder else None


def told(uri: str) -> dict[str, str]:
    """What the lease at `uri` says; nothing where it is none."""
    try:
        found = json.loads(storage.read_bytes(uri))
    except (ValueError, RecursionError, FileNotFoundError):
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def content(holder: str, number: int) -> bytes:
    """A lease: its holder, for programs and for people, and how often it was renewed."""
    return json.dumps({"holder": holder, "who": myself(), "beat": number}).encode()


def myself() -> str:
    """This process, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"
