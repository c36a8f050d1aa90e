"""What stands in a bucket at one moment, read in as few requests and bytes as can be.

In: an fsspec file system, and paths in it. Out: a file system that reads these files, for DuckDB and for others; or one
file; or copies of files. DuckDB asks for a file's size, time and existence over and over, and each time fsspec asks the
bucket. Here the bucket is asked once for each file, for all of them together, and a file that is not large is read whole,
since queries want most of it. Who opens one file may want its footer or a row group, and is given that. What was read stays
in this process under what the bucket calls it: who looks again asks what stands there now, and reads what is not known.
"""

import asyncio
import errno
import glob
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem, sync

TINY = 2**20
"""Bytes of a file up to which it is read whole by whoever opens it."""
WHOLE = 32 * 2**20
"""Bytes of a file up to which a snapshot reads it whole; of a larger one, what is asked for is read."""
MOST = 256 * 2**20
"""Bytes of small files that a snapshot holds, else none; and bytes that the process keeps, of which the oldest go first."""

Info: TypeAlias = dict[str, Any]
"""What fsspec says of a file: `size`, and whatever else the store tells."""
Found: TypeAlias = Mapping[str, Info]
"""The files that stand at some addresses, with what the store said of each."""


class Name(NamedTuple):
    """What a content, or a part of one, is kept under; where the ETag is an MD5, no path is needed to tell it from others."""

    path: str
    etag: str
    start: int
    end: int


kept: OrderedDict[Name, bytes] = OrderedDict()
keeping = threading.Lock()


class Snapshot(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The files at some paths as they stood when they were looked at; for all others the store itself is asked."""

    cachable = False

    def __init__(self, fs: AbstractFileSystem, found: Found) -> None:
        super().__init__()
        self.protocol = fs.protocol
        self.fs = fs
        self.found = dict(found)
        self.contents = contents(fs, found)
        self.patterns = {glob.escape(path): path for path in found}

    def within(self, path: str) -> str:
        """The path as this file system knows it."""
        return str(self.fs._strip_protocol(path))

    def unstrip_protocol(self, name: str) -> str:
        """The address of a path."""
        return str(self.fs.unstrip_protocol(name))

    def info(self, path: str, **options: Any) -> Info:  # noqa: ANN401 (fsspec's)
        """What is known of a file; raises FileNotFoundError."""
        known = self.found.get(self.within(path))
        return cast("Info", known or self.fs.info(path, **options))

    def exists(self, path: str, **options: Any) -> bool:  # noqa: ANN401 (fsspec's)
        """Whether something stands there."""
        return self.within(path) in self.found or bool(self.fs.exists(path, **options))

    def modified(self, path: str) -> datetime:
        """When the file was written."""
        known = self.found.get(self.within(path), {}).get("LastModified")
        return cast("datetime", known or self.fs.modified(path))

    def glob(self, path: str, **options: Any) -> list[str]:  # noqa: ANN401 (fsspec's)
        """The paths that match a pattern, and a pattern that is one of ours escaped matches that one."""
        known = self.patterns.get(self.within(path))
        return [known] if known in self.found else list(self.fs.glob(path, **options))

    def open(self, path: str, mode: str = "rb", **options: Any) -> BinaryIO:  # noqa: ANN401 (fsspec's)
        """A file, from memory where it is small; of another one no more is read than asked for; one that is written is forgotten."""
        inside = self.within(path)
        if mode == "rb" and inside in self.contents:
            return io.BytesIO(self.contents[inside])
        if mode == "rb":
            # DuckDB knows the ranges that it wants; s3fs alone would read 50 MB from where each begins.
            return cast("BinaryIO", self.fs.open(path, mode, **{"cache_type": "none"} | options))
        self.forget(path)
        return cast("BinaryIO", self.fs.open(path, mode, **options))

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:  # noqa: ANN401 (fsspec's)
        """What stands right below a path now."""
        return list(self.fs.ls(path, detail=detail, **options))

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:  # noqa: ANN401 (fsspec's)
        """Copy a file; what stood at its target is no longer known."""
        self.forget(path2)
        self.fs.cp_file(path1, path2, **options)

    def rm_file(self, path: str) -> None:
        """Delete a file, which is no longer known."""
        self.forget(path)
        self.fs.rm_file(path)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete a file, or a folder with all that is below it; a pattern is none."""
        self.forget(path)
        self.fs.rm(glob.escape(path), recursive=recursive, maxdepth=maxdepth)

    def mv(self, path1: str, path2: str, **options: Any) -> None:  # noqa: ANN401 (fsspec's)
        """Rename a file, and neither path is known: DuckDB writes beside a file and renames, where it is not sure of the store."""
        self.cp_file(path1, path2, **options)
        self.rm_file(path1)

    def forget(self, path: str) -> None:
        """Know nothing more of a path and of what is below it: for these, the store is asked."""
        inside = self.within(path)
        for known in [known for known in self.found if known == inside or known.startswith(f"{inside}/")]:
            del self.found[known]
            self.contents.pop(known, None)


def look(fs: AbstractFileSystem, paths: Iterable[str]) -> dict[str, Info]:
    """The files among what stands at these paths now, asked for all at once; a path where none stands is left out."""
    asked = list(paths)
    answers = sync(fs.loop, infos, fs, asked) if isinstance(fs, AsyncFileSystem) else [stat(fs, path) for path in asked]
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, FileNotFoundError):
            raise answer
    return {
        path: answer
        for path, answer in zip(asked, answers, strict=True)
        if isinstance(answer, dict) and answer["type"] == "file"
    }


async def infos(fs: AsyncFileSystem, paths: list[str]) -> list[Info | BaseException]:
    """What the store says of each path, or why it says nothing."""
    answers: list[Info | BaseException] = await asyncio.gather(*map(fs._info, paths), return_exceptions=True)
    return answers


def stat(fs: AbstractFileSystem, path: str) -> Info | BaseException:
    """The same of one path, by a file system that answers one at a time."""
    try:
        return cast("Info", fs.info(path))
    except FileNotFoundError as error:
        return error


def contents(fs: AbstractFileSystem, found: Found) -> dict[str, bytes]:
    """The small files whole, if all of them together are not too much to hold; what is kept already is not read again."""
    sizes = {path: info["size"] for path, info in found.items() if info["size"] <= WHOLE}
    if sum(sizes.values()) > MOST:
        return {}
    held = {path: recall(path, found[path]) for path in sizes}
    missing = [path for path in sizes if held[path] is None]
    read = fs.cat_ranges(missing, [0] * len(missing), [sizes[path] for path in missing], on_error="raise")
    for path, content in zip(missing, read, strict=True):
        held[path] = content
        keep(found[path], content)
    return {path: content for path, content in held.items() if content is not None}


def opened(fs: AbstractFileSystem, path: str) -> BinaryIO:
    """The file that stands at a path now: in memory where it is tiny or kept, else to be read in parts.

    Raises:
        FileNotFoundError: none stands there.
    """
    file = fs.open(path, "rb", cache_type="none")
    # A file of S3 has asked already, and reads only what it was told of then.
    info: Info = getattr(file, "details", None) or fs.info(path)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    whole = recall(path, info)
    parts = Parts(file, path, info)
    if whole is None and info["size"] <= TINY:
        whole = parts.read()
    return cast("BinaryIO", parts if whole is None else io.BytesIO(whole))


class Parts(io.RawIOBase):
    """A file of which the store is asked for what is read and no more, and not twice for what is kept."""

    def __init__(self, file: BinaryIO, path: str, info: Info) -> None:
        super().__init__()
        self.file = file
        self.path = path
        self.info = info
        self.at = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """And from anywhere."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read from there next."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.info["size"]}[whence]
        return self.at

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all that follow."""
        start = self.at
        end = self.info["size"] if size < 0 else min(start + size, self.info["size"])
        if start >= end:
            return b""
        self.at = end
        content = recall(self.path, self.info, start, end)
        if content is None:
            self.file.seek(start)
            content = self.file.read(end - start)
            keep(self.info, content, self.path, start)
        return content

    def close(self) -> None:
        """Let the store's own file go."""
        self.file.close()
        super().close()


def fetch(fs: AbstractFileSystem, found: Found, places: Mapping[str, str]) -> None:
    """Copy files to their places on this machine: what is kept from memory, and the others from the store, all at once."""
    missing = []
    for path, place in places.items():
        content = recall(path, found[path])
        if content is None:
            missing.append(path)
            continue
        with open(place, "wb") as file:
            file.write(content)
    if missing:
        # Lists of both sides are the one form in which fsspec takes no path for a pattern.
        fs.get(missing, [places[path] for path in missing])


def recall(path: str, info: Info, start: int = 0, end: int | None = None) -> bytes | None:
    """What a file that stands there holds, or a part of it, if that is kept; an empty one is nothing that needs to be."""
    last = info["size"] if end is None else end
    if start >= last:
        return b""
    with keeping:
        whole = kept.get(Name("", etag(info), 0, info["size"]))
        return kept.get(Name(path, etag(info), start, last)) if whole is None else whole[start:last]


def keep(info: Info, content: bytes, path: str = "", start: int = 0) -> None:
    """Keep what was read of a file: under its MD5, where that is what the store calls it, whoever else holds the same.

    Else under its `path`, if that is given: then the store was asked for what has this ETag and nothing else.
    """
    whole = len(content) == info["size"]
    if whole and hashlib.md5(content, usedforsecurity=False).hexdigest() == etag(info):
        path = ""
    elif not (path and etag(info)):
        return
    with keeping:
        kept[Name(path, etag(info), start, start + len(content))] = content
        while sum(map(len, kept.values())) > MOST:
            kept.popitem(last=False)


def etag(info: Info) -> str:
    """What tells this content of a path from others: the MD5 of a file that was put at once, unless a key encrypts it."""
    return str(info.get("ETag", "")).strip('"')
