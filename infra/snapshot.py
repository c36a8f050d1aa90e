"""What stands in a bucket at one moment, read in as few requests as can be.

In: an fsspec file system, and paths in it. Out: a file system that reads these files, for DuckDB and for others.
DuckDB asks for a file's size, time and existence over and over, and each time fsspec asks the bucket. Here the bucket is
asked once for each file, for all of them together, and a small file is read whole. What was read stays in this process
under the MD5 that the bucket gives it: who looks again asks what stands there now, and reads what is not known.
"""

import asyncio
import glob
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, TypeAlias, cast

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem, sync

WHOLE = 32 * 2**20
"""Bytes of a file up to which it is read whole; of a larger one, what is asked for is read."""
MOST = 256 * 2**20
"""Bytes of small files that a snapshot holds, else none; and bytes that the process keeps, of which the oldest go first."""

Info: TypeAlias = dict[str, Any]
"""What fsspec says of a file: `size`, and whatever else the store tells."""
Found: TypeAlias = Mapping[str, Info]
"""The files that stand at some addresses, with what the store said of each."""

kept: OrderedDict[str, bytes] = OrderedDict()
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
        """A file, from memory where it is small; one that is written is no longer known."""
        inside = self.within(path)
        if mode == "rb" and inside in self.contents:
            return io.BytesIO(self.contents[inside])
        if mode != "rb":
            self.forget(path)
        return cast("BinaryIO", self.fs.open(path, mode, **options))

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:  # noqa: ANN401 (fsspec's)
        """Copy a file to this machine."""
        inside = self.within(rpath)
        if inside not in self.contents:
            self.fs.get_file(rpath, lpath, **options)
            return
        with open(lpath, "wb") as file:
            file.write(self.contents[inside])

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
    said = sync(fs.loop, infos, fs, asked) if isinstance(fs, AsyncFileSystem) else [told(fs, path) for path in asked]
    for answer in said:
        if isinstance(answer, BaseException) and not isinstance(answer, FileNotFoundError):
            raise answer
    return {
        path: answer
        for path, answer in zip(asked, said, strict=True)
        if isinstance(answer, dict) and answer["type"] == "file"
    }


async def infos(fs: AsyncFileSystem, paths: list[str]) -> list[Info | BaseException]:
    """What the store says of each path, or why it says nothing."""
    said: list[Info | BaseException] = await asyncio.gather(*map(fs._info, paths), return_exceptions=True)
    return said


def told(fs: AbstractFileSystem, path: str) -> Info | BaseException:
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
    held = {path: recall(found[path]) for path in sizes}
    missing = [path for path in sizes if held[path] is None]
    read = fs.cat_ranges(missing, [0] * len(missing), [sizes[path] for path in missing], on_error="raise")
    for path, content in zip(missing, read, strict=True):
        held[path] = content
        keep(found[path], content)
    return {path: content for path, content in held.items() if content is not None}


def recall(info: Info) -> bytes | None:
    """The content of a file that stands there, if it is kept; an empty one is nothing that needs to be."""
    if not info["size"]:
        return b""
    with keeping:
        return kept.get(md5(info))


def keep(info: Info, content: bytes) -> None:
    """Keep what was read, where the store's own MD5 says that it is the file that was looked at."""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5(info):
        return
    with keeping:
        kept[md5(info)] = content
        while sum(map(len, kept.values())) > MOST:
            kept.popitem(last=False)


def md5(info: Info) -> str:
    """The ETag, which is the MD5 of a file that was put at once and is not encrypted with a key of its own; else empty or another."""
    return str(info.get("ETag", "")).strip('"')
