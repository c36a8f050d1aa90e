"""Hash the files of a model, large ones once for as long as they stay as they are.

In: files. Out: their SHA-256, and lines that say how far it is. What a large file was hashed to is kept in the cache of the user,
with its size, times and inode; where none can be written, or what is kept cannot be read, it is hashed again. Grain: one entry
a file, in one JSON file, which each process replaces as a whole: what another one noted meanwhile may be lost.
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from infra import storage

logger = logging.getLogger(__name__)

LARGE = 2**20
"""Bytes from which a hash is kept."""
SECONDS_TO_SETTLE = 10
"""A file that changed less long ago may change again within one tick of its disk's clock: its hash is not kept."""
SECONDS_BETWEEN_REPORTS = 5
State: TypeAlias = list[int]
"""Size, time of change of content and of anything, inode: two contents of one file have two."""


def digests(files: Mapping[str, Path], title: str) -> dict[str, str]:
    """The SHA-256 of each file, by its name; what takes long is told as the model `title`."""
    kept = remembered()
    told = {name: unchanged(kept, path) for name, path in files.items()}
    unread = [name for name, sha256 in told.items() if sha256 is None]
    tell = progress(title, sum(files[name].stat().st_size for name in unread))
    return {name: sha256 or hashed(files[name], tell) for name, sha256 in told.items()}


def hashed(path: Path, tell: Callable[[int], None]) -> str:
    """The SHA-256 of a file, which is kept if it is large and has settled."""
    with path.open("rb") as stream:
        began, before = time.time(), state(os.stat(stream.fileno()))
        sha256 = storage.sha256_of(stream, tell)
    size, content, anything, _ = before
    if size >= LARGE and began - max(content, anything) / 1e9 > SECONDS_TO_SETTLE:
        remember(path, before, sha256)
    return sha256


def progress(title: str, size: int) -> Callable[[int], None]:
    """What is called with each number of bytes that was hashed, of `size` in all."""
    done, reported = 0, time.monotonic()

    def tell(more: int) -> None:
        nonlocal done, reported
        done += more
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            logger.info("model %s: %.1f of %.1f GB hashed, to tell it from others", title, done / 1e9, size / 1e9)

    return tell


def state(found: os.stat_result) -> State:
    """What changes when a file does."""
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def unchanged(kept: Mapping[str, Any], path: Path) -> str | None:
    """The SHA-256 that is kept of a file, if it stands as it was then."""
    match kept.get(os.path.realpath(path)):
        case [list(before), str(sha256)] if before == state(path.stat()) and re.fullmatch("[0-9a-f]{64}", sha256):
            return sha256
    return None


def memory() -> Path | None:
    """Where hashes are kept; None for a user without a home."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    if not os.path.isabs(base):
        base = f"{home}/.cache" if os.path.isabs(home) and home != "/" else ""
    return Path(base, "safepairs", "hashes.json") if base else None


def remembered() -> dict[str, Any]:
    """All that is kept; nothing where that cannot be read."""
    file = memory()
    with suppress(OSError, ValueError, RecursionError):
        if file is not None and isinstance(kept := json.loads(file.read_bytes()), dict):
            return kept
    return {}


def remember(path: Path, before: State, sha256: str) -> None:
    """Keep the hash of a file, and of the others only those that still stand."""
    file = memory()
    kept = {other: entry for other, entry in remembered().items() if os.path.exists(other)}
    kept[os.path.realpath(path)] = [before, sha256]
    with suppress(OSError, ValueError):
        if file is not None:
            storage.write_bytes(str(file), json.dumps(kept).encode())
