"""Read and write whole files at an address: a local path or any fsspec URI.

In: addresses as users write them. Out: bytes there, written so that a reader never sees half a file.
"""

import errno
import os
import uuid

import fsspec
from fsspec.core import url_to_fs


def resolve(uri: str) -> str:
    """The absolute form of a local path; a URI with a scheme stays as it is."""
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def join(uri: str, *parts: str) -> str:
    """Addresses join with `/`, on disk and in buckets."""
    return "/".join([uri.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of `uri` and the path inside it; listings are never cached."""
    fs, path = url_to_fs(uri, use_listings_cache=False) if "://" in uri else url_to_fs(uri)
    return fs, path


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    fs, path = filesystem(uri)
    content: bytes = fs.cat_file(path)
    return content


def write_bytes(uri: str, content: bytes) -> None:
    """Put `content` at `uri` in one step: a rename on disk, one PUT in a bucket."""
    fs, path = filesystem(uri)
    if "://" in uri:
        fs.pipe_file(path, content)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def exists(uri: str) -> bool:
    """Whether a file or folder stands at `uri`."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def make_folder(uri: str) -> None:
    """Create a local folder and its parents; buckets have none."""
    if "://" not in uri:
        os.makedirs(uri, exist_ok=True)


def listing(uri: str, suffix: str = "") -> list[str]:
    """Addresses of all files below `uri` that end in `suffix`, sorted; empty where nothing stands."""
    fs, path = filesystem(uri)
    scheme = uri.split("://", 1)[0] + "://" if "://" in uri else ""
    return sorted(scheme + found for found in fs.find(path) if found.endswith(suffix))


def remove(uri: str) -> None:
    """Delete the file or folder at `uri`, if any."""
    fs, path = filesystem(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def move_folder(source: str, target: str) -> None:
    """Move a finished folder to `target`: in one step on disk, `manifest.json` last in a bucket.

    Raises:
        FileExistsError: something stands at `target`.
    """
    if "://" not in source:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
        return
    if exists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    fs, _ = filesystem(source)
    for file in sorted(listing(source), key=lambda name: name.endswith("/manifest.json")):
        fs.mv(file, target + file.removeprefix(source))
