"""Read what was published, and hold it to what its manifest says.

In: a storage, or the folder of a release. Out: its manifest, checked; the files that are not what it says. Grain: one
manifest a release; one misfit a file. Whoever can write a storage can write a release, so nothing of one is taken for what
it should be: the pointer holds the digest of the latest manifest, that one the digests of all earlier ones, and each those
of all files of its release.
"""

import errno
import hashlib
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

from fsspec import AbstractFileSystem
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from infra import storage
from tasks import warehouse
from tasks.errors import StorageError, one_line

logger = logging.getLogger(__name__)

NAME = "manifest.json"
PUBLISHED = b"published"
"""What stands in the claim of a version once its release is there."""
Version = Annotated[str, Field(pattern=r"^[0-9]{4}\.[0-9]{2}\.[0-9]{2}(\.[0-9]+)?$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Path = Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]
"""Of a file, below the folder of its release: it leads nowhere else, and no shell or query takes it for more than a name."""
OF_DESKTOPS = (".DS_Store", ".localized", ".directory", "Thumbs.db", "ehthumbs.db", "Desktop.ini", "desktop.ini")
"""Names of files that desktops leave in a folder that somebody opens."""


class File(TypedDict):
    """What a manifest says of a file: its path, and its rows where it is Parquet."""

    path: Path
    sha256: Digest
    bytes: int
    rows: int | None


class Verdict(BaseModel):
    """What the gate said, summed up for people."""

    said: str


class Manifest(BaseModel):
    """What readers of a manifest stand on."""

    version: Version
    parent: Version | None
    earlier: dict[Version, Digest] | None = None
    """The releases that stood when this one was published; None in manifests of a time when none told that."""
    fingerprint: str
    files: list[File]
    verdict: Verdict


class Pointer(BaseModel):
    """What `latest.json` holds."""

    version: Version
    manifest_sha256: Digest


def published(root: str) -> dict[str, Any] | None:
    """The manifest that `latest.json` points at, or None before the first release.

    Raises:
        StorageError: the pointer is broken, or leads to no manifest, or to another one than it was set to.
    """
    pointer = point(root)
    return read_manifest(storage.join(root, "releases", pointer.version), pointer.manifest_sha256) if pointer else None


def point(root: str) -> Pointer | None:
    """What `latest.json` says, or None before the first release; raises StorageError where it is broken.

    Where it is missing, what it would say of the newest release that was published and is one: else the next one would know of
    none before it.
    """
    uri = storage.join(root, "releases", "latest.json")
    if not storage.exists(uri):
        if newest := newest_published(root):
            tell_missing(uri, newest.version)
        return newest
    try:
        return Pointer.model_validate_json(read(uri), strict=True)
    except ValidationError as error:
        raise StorageError(
            f"{uri}: is no pointer ({fault(error)}); restore it, or delete it, and the newest release that is whole is the latest"
        ) from None


@cache
def tell_missing(uri: str, version: str) -> None:
    """Say once in a process that the pointer is missing, and what stands for it."""
    logger.warning("%s: is missing; %s is taken for the latest release, the next one makes it again", uri, version)


def newest_published(root: str) -> Pointer | None:
    """A pointer to the newest release whose claim says that it was published, and whose manifest is one; None if none is."""
    for version in sorted(versions(root), key=order, reverse=True):
        with suppress(StorageError, *storage.FAULTS):
            if storage.read_bytes(claim_address(root, version)) == PUBLISHED:
                folder = storage.join(root, "releases", version)
                read_manifest(folder)
                sha256 = hashlib.sha256(storage.read_bytes(storage.join(folder, NAME))).hexdigest()
                return Pointer(version=version, manifest_sha256=sha256)
    return None


def order(version: str) -> list[int]:
    """What versions are sorted by: `.10` comes after `.9`."""
    return list(map(int, re.findall("[0-9]+", version)))


def claim_address(root: str, version: str) -> str:
    """Where the one run that may publish `version` puts its fingerprint, and PUBLISHED once that is done."""
    return storage.join(root, "claims", version)


def lineage(root: str) -> dict[str, str | None]:
    """The versions that were published, up to the latest one, with the digests that their manifests must have.

    None stands for the digest of an earlier release where the latest one is of a time when none told that.

    Raises:
        StorageError: the latest release is not the one that was published.
    """
    pointer = point(root)
    if pointer is None:
        return {}
    latest = read_manifest(storage.join(root, "releases", pointer.version), pointer.manifest_sha256)
    earlier = latest.get("earlier")
    known: dict[str, str | None] = dict.fromkeys(versions(root)) if earlier is None else dict(earlier)
    return known | {pointer.version: pointer.manifest_sha256}


def versions(root: str) -> list[str]:
    """The names of all folders of releases, whatever is in them."""
    releases = storage.join(root, "releases")
    return [folder.rsplit("/", 1)[-1] for folder in storage.folders(releases)] if storage.exists(releases) else []


def read_manifest(release: str, sha256: str | None = None) -> dict[str, Any]:
    """The manifest in the folder `release`, whose digest is `sha256` where that is known.

    Raises:
        StorageError: there is none, it is another one, or it is none.
    """
    uri = storage.join(release, NAME)
    content = read(uri)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise StorageError(
            f"{uri}: was changed after it was published; restore it, or point latest.json at another release"
        )
    try:
        found = Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise StorageError(
            f"{uri}: is no manifest ({fault(error)}); restore it, or delete the folder that it is in"
        ) from None
    if found.version != release.rsplit("/", 1)[-1]:
        raise StorageError(f"{uri}: is the manifest of another release; restore it, or delete the folder that it is in")
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def read(uri: str) -> bytes:
    """The file at `uri`; raises StorageError."""
    try:
        return storage.read_bytes(uri)
    except storage.FAULTS as error:
        raise StorageError(f"{uri}: cannot be read ({warehouse.reason(error)}); restore it") from None


def fault(error: ValidationError) -> str:
    """Where JSON is not what it should be, in words that quote nothing of it."""
    first = error.errors()[0]
    where = ".".join(re.sub(r"\W", "?", str(part))[:40] for part in first["loc"])
    return f"{where}: {first['type'].replace('_', ' ')}" if where else first["type"].replace("_", " ")


def misfits(folder: str, files: Iterable[Mapping[str, Any]], among: Collection[str] | None = None) -> Iterator[str]:
    """What in `folder` is not as `files` say, the manifest apart: a path and what is wrong; of the paths `among`, if given.

    What desktops leave in a folder is told and is no misfit. A pipe or a link to nowhere is one, and a name that nobody can ask for.

    Raises:
        StorageError: a file cannot be read, which may pass.
    """
    listed = {file["path"]: file["sha256"] for file in files}
    try:
        there = {uri.removeprefix(f"{folder}/"): info for uri, info in storage.found_below(folder).items()}
        fs = storage.reader({storage.join(folder, path): info for path, info in there.items()}, folder)
        for path in sorted((listed.keys() | there) - {NAME}):
            if among is not None and path not in among:
                continue
            if path not in listed and is_of_desktop(path):
                logger.info("%s: %s is of somebody's desktop, and is not counted", folder, one_line(path))
            elif path not in there:
                yield f"{path} is missing"
            elif path not in listed:
                yield f"{one_line(path)} was added"
            elif wrong := misfit(fs, storage.join(folder, path), listed[path]):
                yield f"{path} {wrong}"
    except storage.FAULTS as error:
        if isinstance(error, OSError) and error.errno == errno.EILSEQ:
            yield f"cannot be read ({warehouse.reason(error)})"
            return
        raise StorageError(
            f"{folder}: cannot be read ({warehouse.reason(error)}); mend the storage and run again"
        ) from None


def misfit(fs: AbstractFileSystem, uri: str, sha256: str) -> str | None:
    """What is wrong with the file at `uri`, which must have this digest; raises StorageError where it cannot be read."""
    if storage.is_no_file(uri):
        return "is no file"
    with warehouse.reading(uri), fs.open(storage.filesystem(uri)[1], "rb") as stream:
        return None if storage.sha256_of(stream) == sha256 else "was changed"


def is_of_desktop(uri: str) -> bool:
    """Whether a file is one that desktops leave in a folder: nobody's data."""
    return uri.rsplit("/", 1)[-1] in OF_DESKTOPS
