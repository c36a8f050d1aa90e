"""Disks that let a program do less than this one: a system call that refuses, and a folder on another disk."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ON_LITTLE = [
    sys.executable,
    "-c",
    "from tasks import preflight; preflight.LEAST_FREE = 0; from flows.pipeline import main; main()",
]
"""Starts a run on a disk however little is free there, so that it fills up on the way."""


def deny(patched: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Have a system call, named as `os.link`, fail with the number of an error, as a disk does that does not know it."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    patched.setattr(call, refused)


@contextmanager
def folder_on_another_disk(than: Path) -> Iterator[Path]:
    """A folder on another disk than that of `than`; skips the test where there is none."""
    memory = Path("/dev/shm")  # noqa: S108 (a folder of our own below it)
    if not memory.is_dir() or memory.stat().st_dev == than.stat().st_dev:
        pytest.skip("no other disk here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
