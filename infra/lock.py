"""Let one run at a time work on a storage.

In: the storage's address. Out: a context in which no other run is inside, on this machine or another, and a function
that says whether that still holds.
On disk the kernel holds the lock and lets go when the process ends, however it ends. In a bucket it is a lease: an object
that its holder rewrites every few seconds with `If-Match`. Nobody compares clocks: a lease that does not change while
another run watches it is dead, and that run takes it over. What is pushed onto `UNTIL_THE_END` is held until this process ends.
"""

import atexit
import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import sleep

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
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Held(file.read()) from None
        file.truncate(0)
        file.write(myself())
        file.flush()
        yield lambda: True


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
            except FileExistsError:
                lost.set()
                return
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
            if json.loads(storage.read_bytes(uri))["holder"] == holder:
                storage.remove(uri)


def take(uri: str, holder: str) -> str:
    """Put our lease at `uri`, over a dead one if need be; give its tag."""
    try:
        storage.create(uri, content(holder, 0))
    except FileExistsError:
        seen = storage.etag(uri)
        sleep(SECONDS_TO_LIVE)
        if seen is None or storage.etag(uri) != seen:
            raise Held(json.loads(storage.read_bytes(uri))["who"]) from None
        return storage.replace(uri, content(holder, 0), seen)
    return storage.etag(uri) or ""


def content(holder: str, number: int) -> bytes:
    """A lease: its holder, for programs and for people, and how often it was renewed."""
    return json.dumps({"holder": holder, "who": myself(), "beat": number}).encode()


def myself() -> str:
    """This process, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"
