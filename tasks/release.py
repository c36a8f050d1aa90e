"""Publish a candidate that the gate has passed, and find what was published.

In: a judged candidate. Out: `<storage>/releases/<version>/` with `manifest.json`, then `catalog.sql` and the pointer
`latest.json`. Grain: one folder per version, which never changes.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra import storage
from tasks import warehouse
from tasks.candidate import Candidate, describe_files, release_fingerprint, stage_rows, tables_of
from tasks.config import Config
from tasks.engines import model_identity
from tasks.errors import StorageError
from tasks.tables import Stage


@dataclass(frozen=True)
class Release:
    """A published release: its version, where it stands, and what the gate said of it."""

    version: str
    uri: str
    said: str


def unchanged(config: Config, stages: Sequence[Stage], root: str) -> Release | None:
    """The latest release, if it was made of exactly these tables and settings; else None."""
    latest = published(root)
    if latest is None or latest["fingerprint"] != release_fingerprint(config, tables_of(stages)):
        return None
    uri = storage.join(root, "releases", latest["version"])
    return Release(
        latest["version"], uri, f"nothing has changed since {latest['version']}: {latest['verdict']['said']}"
    )


def published(root: str) -> dict[str, Any] | None:
    """The manifest that `latest.json` points at, or None before the first release.

    Raises:
        StorageError: the pointer leads nowhere.
    """
    pointer = storage.join(root, "releases", "latest.json")
    if not storage.exists(pointer):
        return None
    try:
        version = json.loads(storage.read_bytes(pointer))["version"]
        manifest: dict[str, Any] = json.loads(
            storage.read_bytes(storage.join(root, "releases", version, "manifest.json"))
        )
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(
            f"{pointer}: leads to no readable manifest ({error}); point it at a published release"
        ) from None
    return manifest


def next_version(root: str) -> str:
    """Today's date in UTC, `YYYY.MM.DD`, with `.N` where that is taken."""
    today = datetime.now(UTC).strftime("%Y.%m.%d")
    version, number = today, 0
    while storage.exists(storage.join(root, "releases", version)):
        number += 1
        version = f"{today}.{number}"
    return version


def publish(
    config: Config, candidate: Candidate, verdict: Mapping[str, Any], stages: Sequence[Stage], root: str
) -> Release:
    """Write the manifest, move the candidate to its place in one step, then move the pointer.

    `verdict` is the gate's, as it goes into the manifest; `verdict["said"]` sums it up for people.

    Raises:
        StorageError: another run published this version first, or the folder cannot be written.
    """
    parent = published(root)
    manifest = {
        "version": candidate.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": parent["version"] if parent else None,
        "fingerprint": candidate.fingerprint,
        "files": [*candidate.files, *describe_files(candidate.uri, "gate")],
        "config": config.model_dump(mode="json"),
        "code_revision": code_revision(),
        "responders": {responder.name: model_identity(responder.engine) for responder in config.responders},
        "judges": {judge.name: model_identity(judge.engine) for judge in config.judges},
        "embedder": model_identity(config.diversity.embedder),
        "seed": config.seed,
        "stages": stage_rows(stages).to_pylist(),
        "verdict": verdict,
    }
    content = json.dumps(manifest, indent=2).encode()
    address = storage.join(root, "releases", candidate.version)
    try:
        storage.write_bytes(storage.join(candidate.uri, "manifest.json"), content)
        storage.move_folder(candidate.uri, address)
        storage.write_bytes(storage.join(root, "releases", "catalog.sql"), catalog(root, candidate.version).encode())
        pointer = {"version": candidate.version, "manifest_sha256": hashlib.sha256(content).hexdigest()}
        storage.write_bytes(storage.join(root, "releases", "latest.json"), json.dumps(pointer).encode())
    except OSError as error:
        raise StorageError(
            f"{address}: not published: {error.strerror or error}; run again for the next version"
        ) from None
    return Release(candidate.version, address, verdict["said"])


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
    """The text of `catalog.sql`: a schema of views for each release, and views of the latest one in the main schema."""
    manifests = storage.listing(storage.join(root, "releases"), "/manifest.json")
    versions = [manifest.rsplit("/", 2)[-2] for manifest in manifests]
    template = (warehouse.SQL / "templates" / "catalog.sql").read_text()
    base = root if "://" in root else "."
    lines = ["-- Views over the releases. Start DuckDB in the storage folder: duckdb -init releases/catalog.sql"]
    for schema, version in [*((f'"{version}"', version) for version in versions), ("main", latest)]:
        lines.append(template.replace("{schema}", schema).replace("{release}", f"{base}/releases/{version}"))
    return "\n".join(lines)
