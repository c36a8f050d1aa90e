"""Publish a candidate that the gate has passed, and find what was published.

In: a candidate that the gate has examined, and the files that it saw. Out: `<storage>/releases/<version>/` with `manifest.json`, then
`catalog.sql` and the pointer `latest.json`. Grain: one folder per version, which never changes: what is published is what
was examined and approved, byte for byte.
"""

import errno
import hashlib
import json
import logging
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import StorageError
from tasks.release.candidate import Candidate, stage_rows
from tasks.release.catalog import catalog
from tasks.release.changes import holds_the_same
from tasks.release.manifest import (
    NAME,
    PUBLISHED,
    Version,
    claim_address,
    is_of_desktop,
    lineage,
    misfits,
    order,
    point,
    published,
    read_manifest,
)
from tasks.tables import Stage

logger = logging.getLogger(__name__)

ADDRESSES = ("source", "file", "folder", "storage")
"""Keys of `[prompts]` and of its sources that may hold an address with a key in it."""


@dataclass(frozen=True)
class Release:
    """A published release: its version, where it stands, and what the gate said of it."""

    version: Version
    uri: str
    said: str


@dataclass(frozen=True)
class Decision:
    """What a person answered when asked whether to publish, and when, in ISO 8601 and UTC."""

    decision: Literal["approve", "reject"]
    name: str
    reason: str
    time: str


def unchanged(fingerprint: str, root: str) -> Release | None:
    """The latest release, if it has this fingerprint or was found to equal what has it, and is whole; else None.

    Raises:
        StorageError: the latest release is not the one that was published, or cannot be read.
    """
    latest = published(root)
    if latest is None or (latest["fingerprint"] != fingerprint and not equals(root, fingerprint, latest["version"])):
        return None
    uri = storage.join(root, "releases", latest["version"])
    if damage := next(misfits(uri, latest["files"]), None):
        logger.warning("release %s is damaged: %s; it is made again under another version", latest["version"], damage)
        return None
    return Release(
        latest["version"], uri, f"nothing has changed since {latest['version']}: {latest['verdict']['said']}"
    )


def equals(root: str, fingerprint: str, version: str) -> bool:
    """Whether what has this fingerprint was found to equal the release of this version."""
    equal = equal_address(root, fingerprint)
    with warehouse.reading(equal):
        return storage.exists(equal) and storage.read_bytes(equal) == version.encode()


def discard_equal(candidate: Candidate, root: str) -> Release | None:
    """The latest release, if it holds what the examined candidate holds, which is then removed; else None.

    What the candidate was made of is remembered, so that the next run of the same need not write it to find this out.

    Raises:
        StorageError: the storage cannot be written.
    """
    latest = published(root)
    uri = storage.join(root, "releases", latest["version"]) if latest else ""
    if latest is None or not holds_the_same(candidate, latest, uri) or any(misfits(uri, latest["files"])):
        return None
    equal = equal_address(root, candidate.fingerprint)
    with warehouse.writing(equal):
        storage.write_bytes(equal, latest["version"].encode())
        storage.remove(candidate.uri)
    return unchanged(candidate.fingerprint, root)


def equal_address(root: str, fingerprint: str) -> str:
    """Where the version of the release that equals what has this fingerprint is kept."""
    return storage.join(root, "tables", "equal_releases", fingerprint)


def next_version(root: str, fingerprint: str, day: date | None = None) -> str:
    """The day, today in UTC, as `YYYY.MM.DD`, with `.N` where that is taken by a release of another `fingerprint`.

    It comes after the latest one, whatever the clock says and whoever was killed while it published.

    Raises:
        StorageError: the claim or the pointer is broken.
    """
    today, number = (day or datetime.now(UTC)).strftime("%Y.%m.%d"), 0
    latest = point(root)
    if latest is not None and latest.version[: len(today)] >= today:
        today, number = latest.version[: len(today)], [*order(latest.version), 0][3] + 1
    numbered = (f"{today}.{number}" if number else today for number in count(number))
    return next(version for version in numbered if free(root, version, fingerprint))


def is_past(root: str, version: str) -> bool:
    """Whether the latest release is `version` or a later one; raises StorageError where the pointer is broken."""
    latest = point(root)
    return latest is not None and order(version) <= order(latest.version)


def free(root: str, version: str, fingerprint: str) -> bool:
    """Whether nobody has `version`, or a run of the same `fingerprint` claimed it and did not publish it.

    Raises:
        StorageError: the claim or the pointer is broken.
    """
    claimed = claimant(root, version)
    if claimed is not None:
        return claimed == fingerprint.encode() and version not in lineage(root)
    return not storage.exists(storage.join(root, "releases", version))


def claimant(root: str, version: str) -> bytes | None:
    """The fingerprint of the run that claimed `version`; None where nobody did.

    Raises:
        StorageError: the claim cannot be read.
    """
    uri = claim_address(root, version)
    try:
        return storage.read_bytes(uri)
    except FileNotFoundError:
        return None
    except storage.FAULTS as error:
        raise StorageError(f"{uri}: cannot be read ({warehouse.reason(error)}); mend it or delete it") from None


def publish(
    config: Config,
    candidate: Candidate,
    files: Sequence[Mapping[str, Any]],
    verdict: Mapping[str, Any],
    decision: Decision | None,
    stages: Sequence[Stage],
    root: str,
) -> Release:
    """Claim the version, move the candidate to its place with the manifest last, then move the pointer, but never back.

    Of several runs that publish one version exactly one gets the claim. `files` are all that the candidate had when it was
    judged, and all that may be published. `verdict` is the gate's, as it goes into the manifest; `verdict["said"]` sums it
    up for people. `decision` is the approval, where one was asked for.

    Raises:
        StorageError: another run has this version or a later one, a file is not what was judged, or the folder cannot be
            written.
    """
    address = storage.join(root, "releases", candidate.version)
    try:
        known = lineage(root)
        taken = f"{address}: another run has this version, or a later one; run again for the next one"
        if candidate.version in known or is_past(root, candidate.version) or not claim(root, candidate):
            raise StorageError(taken)
        storage.remove_files(list(filter(is_of_desktop, storage.listing(candidate.uri))))
        hold_to(candidate.uri, files)
        content = json.dumps(
            describe_release(config, candidate, files, verdict, decision, stages, root), indent=2
        ).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        storage.write_bytes(storage.join(candidate.uri, NAME), content)
        if storage.exists(storage.join(address, NAME)):  # a publisher was killed before it moved the pointer
            left = f"{candidate.uri}.left"
            storage.remove(left)
            storage.move_folder(address, left, last=NAME)
        storage.move_folder(candidate.uri, address, last=NAME)
        hold_to(address, files)  # it may have been changed on its way
        read_manifest(address, sha256)
        views = catalog(root, candidate.version, known | {candidate.version: sha256})
        storage.write_bytes(storage.join(root, "releases", "catalog.sql"), views.encode())
        if is_past(root, candidate.version):  # one that was published while this one was hashed
            raise StorageError(taken)
        pointer = {"version": candidate.version, "manifest_sha256": sha256}
        storage.write_bytes(storage.join(root, "releases", "latest.json"), json.dumps(pointer).encode())
        # Nobody has that fingerprint: the version stays this release's, wherever the pointer is moved by hand.
        storage.write_bytes(claim_address(root, candidate.version), PUBLISHED)
    except storage.FAULTS as error:
        raise StorageError(
            f"{address}: not published: {warehouse.reason(error)}; mend the storage and run again"
        ) from None
    return Release(candidate.version, address, verdict["said"])


def hold_to(folder: str, files: Iterable[Mapping[str, Any]]) -> None:
    """Raise StorageError unless the folder holds what was judged."""
    if damage := next(misfits(folder, files), None):
        raise StorageError(
            f"{folder}: {damage} since the gate looked at it; nothing is published: find out who changed it, delete "
            "the folder and run again"
        )


def claim(root: str, candidate: Candidate) -> bool:
    """Whether this candidate may be published under its version: no other one claimed it before."""
    try:
        storage.create(claim_address(root, candidate.version), candidate.fingerprint.encode())
    except FileExistsError:
        return claimant(root, candidate.version) == candidate.fingerprint.encode()
    return True


def describe_release(
    config: Config,
    candidate: Candidate,
    files: Sequence[Mapping[str, Any]],
    verdict: Mapping[str, Any],
    decision: Decision | None,
    stages: Sequence[Stage],
    root: str,
) -> dict[str, Any]:
    """The manifest: what the release holds, was made of and by, what it cost, and what gate and people said."""
    parent = published(root)
    described = config.model_dump(mode="json")
    for source in (described["prompts"], *described["prompts"]["sources"]):
        source |= {key: storage.shown(source[key]) for key in ADDRESSES if source.get(key)}
    return {
        "version": candidate.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": parent["version"] if parent else None,
        "earlier": earlier(root),
        "fingerprint": candidate.fingerprint,
        "files": list(files),
        "config": described,
        "code_revision": code_revision(),
        "responders": {responder.name: responder.engine.identity() for responder in config.responders},
        "judges": {judge.name: judge.engine.identity() for judge in config.judges},
        "embedder": config.diversity.embedder.identity(),
        "seed": config.seed,
        "stages": stage_rows(stages).to_pylist(),
        "verdict": verdict,
        "approval": asdict(decision) if decision else None,
    }


def earlier(root: str) -> dict[str, str]:
    """The releases that stand, with the digests of their manifests; of one that is damaged, that of what was published."""
    told: dict[str, str] = {}
    for version, sha256 in lineage(root).items():
        folder = storage.join(root, "releases", version)
        if sha256 is not None and stands(folder):
            told[version] = sha256
        elif sha256 is None:  # published at a time when manifests did not tell this
            with suppress(StorageError):
                read_manifest(folder)
                told[version] = hashlib.sha256(storage.read_bytes(storage.join(folder, NAME))).hexdigest()
    return told


def stands(folder: str) -> bool:
    """Whether anything of a release stands there, and be it a file whose name nothing takes."""
    try:
        return not all(map(is_of_desktop, storage.listing(folder)))
    except OSError as error:
        if error.errno != errno.EILSEQ:
            raise
        return True


def code_revision() -> str:
    """The Git commit of this checkout, with `+changes` where files differ from it; `unknown` outside Git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes"],  # noqa: S607 (git is where PATH says)
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
