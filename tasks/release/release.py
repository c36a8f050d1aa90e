"""Publish a candidate that the gate has passed, and find what was published.

In: a candidate that the gate has examined. Out: `<storage>/releases/<version>/` with `manifest.json`, then `catalog.sql` and the pointer
`latest.json`. Grain: one folder per version, which never changes.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import StorageError
from tasks.release.candidate import Candidate, describe_files, stage_rows
from tasks.release.catalog import catalog
from tasks.release.changes import holds_the_same
from tasks.release.manifest import NAME, lineage, published, read_manifest
from tasks.tables import Stage


@dataclass(frozen=True)
class Release:
    """A published release: its version, where it stands, and what the gate said of it."""

    version: str
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
    """The latest release, if it has this fingerprint or was found to equal what has it; else None."""
    latest = published(root)
    if latest is None:
        return None
    equal = equal_address(root, fingerprint)
    if latest["fingerprint"] != fingerprint and not (
        storage.exists(equal) and storage.read_bytes(equal).decode() == latest["version"]
    ):
        return None
    uri = storage.join(root, "releases", latest["version"])
    return Release(
        latest["version"], uri, f"nothing has changed since {latest['version']}: {latest['verdict']['said']}"
    )


def discard_equal(candidate: Candidate, root: str) -> Release | None:
    """The latest release, if it holds what the examined candidate holds, which is then removed; else None.

    What the candidate was made of is remembered, so that the next run of the same need not write it to find this out.

    Raises:
        StorageError: the storage cannot be written.
    """
    latest = published(root)
    if latest is None or not holds_the_same(candidate, latest, storage.join(root, "releases", latest["version"])):
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
    """The day, today in UTC, as `YYYY.MM.DD`, with `.N` where that is taken by a release of another `fingerprint`."""
    today = (day or datetime.now(UTC)).strftime("%Y.%m.%d")
    version, number = today, 0
    while not free(root, version, fingerprint):
        number += 1
        version = f"{today}.{number}"
    return version


def free(root: str, version: str, fingerprint: str) -> bool:
    """Whether nobody has `version`, or a run of the same `fingerprint` claimed it and did not end."""
    claim = claim_address(root, version)
    if storage.exists(claim):
        return storage.read_bytes(claim).decode() == fingerprint
    return not storage.exists(storage.join(root, "releases", version))


def claim_address(root: str, version: str) -> str:
    """Where the one run that may publish `version` puts its fingerprint."""
    return storage.join(root, "claims", version)


def publish(
    config: Config,
    candidate: Candidate,
    verdict: Mapping[str, Any],
    decision: Decision | None,
    stages: Sequence[Stage],
    root: str,
) -> Release:
    """Claim the version, move the candidate to its place with the manifest last, then move the pointer.

    Of several runs that publish one version exactly one gets the claim. `verdict` is the gate's, as it goes into the
    manifest; `verdict["said"]` sums it up for people. `decision` is the approval, where one was asked for.

    Raises:
        StorageError: another run has this version, or the folder cannot be written.
    """
    address = storage.join(root, "releases", candidate.version)
    manifest = storage.join(address, "manifest.json")
    try:
        if not claim(root, candidate):
            raise StorageError(f"{address}: another run has this version; run again for the next one")
        if not storage.exists(manifest):
            content = json.dumps(
                describe_release(config, candidate, verdict, decision, stages, root), indent=2
            ).encode()
            storage.write_bytes(storage.join(candidate.uri, "manifest.json"), content)
            storage.move_folder(candidate.uri, address, last="manifest.json")
        sha256 = hashlib.sha256(storage.read_bytes(manifest)).hexdigest()
        read_manifest(address, sha256)  # a run that was killed left it: half of one is never pointed to
        views = catalog(root, candidate.version, lineage(root) | {candidate.version: sha256})
        storage.write_bytes(storage.join(root, "releases", "catalog.sql"), views.encode())
        pointer = {"version": candidate.version, "manifest_sha256": sha256}
        storage.write_bytes(storage.join(root, "releases", "latest.json"), json.dumps(pointer).encode())
    except storage.FAULTS as error:
        raise StorageError(
            f"{address}: not published: {warehouse.reason(error)}; mend the storage and run again"
        ) from None
    return Release(candidate.version, address, verdict["said"])


def claim(root: str, candidate: Candidate) -> bool:
    """Whether this candidate may be published under its version: no other one claimed it before."""
    address = claim_address(root, candidate.version)
    try:
        storage.create(address, candidate.fingerprint.encode())
    except FileExistsError:
        return storage.read_bytes(address).decode() == candidate.fingerprint
    return True


def describe_release(
    config: Config,
    candidate: Candidate,
    verdict: Mapping[str, Any],
    decision: Decision | None,
    stages: Sequence[Stage],
    root: str,
) -> dict[str, Any]:
    """The manifest: what the release holds, was made of and by, what it cost, and what gate and people said."""
    parent = published(root)
    described = config.model_dump(mode="json")
    described["prompts"]["source"] = storage.shown(config.prompts.source)
    return {
        "version": candidate.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": parent["version"] if parent else None,
        "earlier": earlier(root),
        "fingerprint": candidate.fingerprint,
        "files": [*candidate.files, *describe_files(candidate.uri, "gate")],
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
        if sha256 is not None and storage.listing(folder):
            told[version] = sha256
        elif sha256 is None:  # published at a time when manifests did not tell this
            with suppress(StorageError):
                read_manifest(folder)
                told[version] = hashlib.sha256(storage.read_bytes(storage.join(folder, NAME))).hexdigest()
    return told


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
