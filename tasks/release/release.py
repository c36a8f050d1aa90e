"""Publish a candidate that the gate has passed, and find what was published.

In: a candidate that the gate has examined. Out: `<storage>/releases/<version>/` with `manifest.json`, then `catalog.sql` and the pointer
`latest.json`. Grain: one folder per version, which never changes.
"""

import hashlib
import json
import logging
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import StorageError, one_line
from tasks.release.candidate import ANNOTATIONS, BY_RESPONDER, Candidate, describe_files, stage_rows
from tasks.release.changes import holds_the_same
from tasks.tables import Stage

logger = logging.getLogger(__name__)


class Pointer(TypedDict):
    """What leads to the latest release."""

    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+$")]


class Said(TypedDict):
    """What is read in a verdict."""

    said: str


class Named(TypedDict):
    """What catalogs read of a file in a manifest."""

    path: str


class Listed(TypedDict):
    """What catalogs read in a manifest."""

    files: list[Named]


class File(Named):
    """What is read of a file in a manifest."""

    sha256: str
    rows: int | None


class Manifest(TypedDict):
    """What is read in a manifest."""

    version: str
    fingerprint: str
    files: list[File]
    verdict: Said


POINTER, LISTED, MANIFEST = TypeAdapter(Pointer), TypeAdapter(Listed), TypeAdapter(Manifest)


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
    with warehouse.reading(equal):
        if latest["fingerprint"] != fingerprint and not (
            storage.exists(equal) and storage.read_bytes(equal) == latest["version"].encode()
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


def published(root: str) -> dict[str, Any] | None:
    """The manifest that `latest.json` points at, or None before the first release.

    Raises:
        StorageError: the pointer leads nowhere.
    """
    pointer = storage.join(root, "releases", "latest.json")
    if not storage.exists(pointer):
        return None
    try:
        version = POINTER.validate_json(storage.read_bytes(pointer))["version"]
        content = storage.read_bytes(storage.join(root, "releases", version, "manifest.json"))
        MANIFEST.validate_json(content)
    except (*storage.FAULTS, ValueError) as error:
        said = "one of the two is broken" if isinstance(error, ValueError) else warehouse.reason(error)
        raise StorageError(
            f"{pointer}: leads to no readable manifest ({said}); point it at a published release"
        ) from None
    manifest: dict[str, Any] = json.loads(content)
    return manifest


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
        with warehouse.reading(claim):
            return storage.read_bytes(claim) == fingerprint.encode()
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
        read_manifest(manifest)  # a run that was killed left it: half of one is never pointed to
        storage.write_bytes(storage.join(root, "releases", "catalog.sql"), catalog(root, candidate.version).encode())
        sha256 = hashlib.sha256(storage.read_bytes(manifest)).hexdigest()
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
        return storage.read_bytes(address) == candidate.fingerprint.encode()
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


def catalog(root: str, latest: str) -> str:
    """The text of `catalog.sql`: a schema of views for each release, and views of the latest one in the main schema.

    Files are named one by one, so that a reader of a bucket lists nothing.
    """
    releases = storage.join(root, "releases")
    files: dict[str, list[str]] = {}
    for folder in storage.folders(releases):
        manifest = storage.join(folder, "manifest.json")
        try:
            listed = LISTED.validate_json(storage.read_bytes(manifest))["files"]
            files[folder.rsplit("/", 1)[-1]] = [file["path"] for file in listed]
        except FileNotFoundError:
            continue
        except (ValueError, OSError):
            logger.warning(
                "%s is no whole manifest, its release is left out of the catalog; restore or delete it",
                one_line(manifest),
            )
    base = releases if "://" in root else "releases"
    lines = ["-- Views over the releases. Start DuckDB in the storage folder: duckdb -init releases/catalog.sql"]
    for schema, version in [*((f'"{version}"', version) for version in sorted(files)), ("main", latest)]:
        lines.append(views(schema, f"{base}/{version}", files[version]))
    return "\n".join(lines)


def read_manifest(uri: str) -> dict[str, Any]:
    """The manifest that stands at `uri`; raises StorageError where it was cut short."""
    content = storage.read_bytes(uri)
    try:
        MANIFEST.validate_json(content)
        return dict(json.loads(content))
    except ValueError:
        raise StorageError(f"{uri}: cut short; remove the folder that it is in and run again") from None


def views(schema: str, release: str, paths: Iterable[str]) -> str:
    """The views of one release, whose files have these paths in its folder: one of each table that they hold."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        folder, name = path.split("/", 1)[0], Path(path).stem
        if folder in ("prompts", *BY_RESPONDER):
            found.setdefault(("dataset", folder), []).append(f"{release}/{path}")
        elif folder == "annotations" or path == ANNOTATIONS["dropped"]:
            found.setdefault(("annotation", name), []).append(f"{release}/{path}")
    lines = [f"CREATE SCHEMA IF NOT EXISTS {schema};\n"]
    for (kind, table), files in found.items():
        template = (Path(__file__).parent / "templates" / f"{kind}.sql").read_text()
        quoted = ["'" + file.replace("'", "''") + "'" for file in warehouse.literal(files)]
        lines.append(template.format(schema=schema, table=table, files=", ".join(quoted)))
    return "".join(lines)
