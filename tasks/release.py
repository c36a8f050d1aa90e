"""Write a release candidate, and publish it once the gate has passed it.

In: the tables of all stages. Out: `<storage>/releases/<version>/` with `manifest.json`, the pointer `latest.json`, and
`catalog.sql`. Grain of its four datasets: PKU-SafeRLHF's (`prompts`, `qa`, `dual`, `single`).
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.card import write_card
from tasks.config import Config
from tasks.engines import model_identity
from tasks.errors import StorageError
from tasks.tables import INTEGER, REAL, TEXT, Ref, Stage, columns

SPLITS = ("train", "test")
BY_RESPONDER = ("qa", "dual", "single")
ANNOTATIONS = {
    "responses": "annotations/responses.parquet",
    "verdicts": "annotations/verdicts.parquet",
    "labels": "annotations/labels.parquet",
    "preferences": "annotations/preferences.parquet",
    "stages": "annotations/stages.parquet",
    "dropped": "dropped.parquet",
}
"""The tables for analysts, every vote and every drop, by path in the release."""

Tables = dict[str, Ref | Sequence[Ref] | pa.Table]
STAGES = columns(
    stage=TEXT,
    grain=TEXT,
    rows_in=INTEGER,
    rows_kept=INTEGER,
    rows_dropped=INTEGER,
    asked=INTEGER,
    found=INTEGER,
    input_tokens=INTEGER,
    output_tokens=INTEGER,
    seconds=REAL,
)


@dataclass(frozen=True)
class Candidate:
    """A release that is written and not yet judged: where it stands, its data files, and what identifies it."""

    version: str
    uri: str
    files: tuple[dict[str, Any], ...]
    fingerprint: str


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


def write_candidate(config: Config, stages: Sequence[Stage], root: str) -> Candidate:
    """Write all data files and the card below `<root>/candidates/`, over what an earlier try of the same data left there.

    Raises:
        StorageError: the folder cannot be written.
    """
    tables = tables_of(stages)
    version, fingerprint = next_version(root), release_fingerprint(config, tables)
    uri = storage.join(root, "candidates", f"{version}-{fingerprint[:8]}")
    try:
        storage.remove(uri)
        for path, sql, parameters in datasets(config):
            with warehouse.connect(tables) as connection:
                query = (warehouse.SQL / f"{sql}.sql").read_text()
                warehouse.write(connection, query, storage.join(uri, path), parameters)
        for name, path in ANNOTATIONS.items():
            with warehouse.connect(tables) as connection:
                warehouse.write(connection, f"FROM {name}", storage.join(uri, path), {})
        write_card(config, version, tables, uri)
    except OSError as error:
        raise StorageError(
            f"{uri}: cannot be written: {error.strerror or error}; mend the storage and run again"
        ) from None
    return Candidate(version, uri, tuple(describe_files(uri)), fingerprint)


def tables_of(stages: Sequence[Stage]) -> Tables:
    """All tables by name; `verdicts` and `dropped` are gathered from every stage, `stages` has a row for each."""
    tables: Tables = {name: ref for stage in stages for name, ref in stage.tables.items()}
    tables["verdicts"] = [ref for stage in stages for name, ref in stage.tables.items() if name.endswith("_verdicts")]
    tables["dropped"] = [stage.dropped for stage in stages]
    tables["stages"] = stage_rows(stages)
    return tables


def datasets(config: Config) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Path, SQL and parameters of each of the release's Parquet files that a query makes."""
    for split in SPLITS:
        yield f"prompts/{split}.parquet", "release_prompts", {"split": split}
        for responder in config.responders:
            for name in BY_RESPONDER:
                path = f"{name}/{responder.name}/{split}.parquet"
                yield path, f"release_{name}", {"split": split, "responder": responder.name}


def stage_rows(stages: Sequence[Stage]) -> pa.Table:
    """One row per stage: rows in, kept and dropped, and what its model work cost in this run."""
    rows = [
        {
            "stage": stage.name,
            "grain": stage.grain,
            "rows_in": stage.rows_in,
            "rows_kept": stage.rows_kept,
            "rows_dropped": stage.dropped.rows,
            **asdict(stage.cost),
            "seconds": stage.seconds,
        }
        for stage in stages
    ]
    return pa.Table.from_pylist(rows, schema=STAGES)


def describe_files(uri: str, folder: str = "") -> Iterator[dict[str, Any]]:
    """Path below `uri`, SHA-256, bytes and rows of every file in its `folder`; rows is None for what is not Parquet."""
    for file in storage.listing(storage.join(uri, folder)):
        fs, path = storage.filesystem(file)
        with fs.open(path, "rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
            rows = pq.ParquetFile(stream).metadata.num_rows if file.endswith(".parquet") else None
        yield {"path": file.removeprefix(f"{uri}/"), "sha256": sha256, "bytes": size, "rows": rows}


def release_fingerprint(config: Config, tables: Tables) -> str:
    """What the release is made of, and what it is made and judged by: equal fingerprints mean equal releases."""
    names = [
        config.name,
        *(responder.name for responder in config.responders),
        *(judge.name for judge in config.judges),
    ]
    here = Path(__file__).parent
    code = [here / "card.md", *here.glob("sql/release_*.sql"), *here.parent.glob("expectations/**/*.[ps][yq]*")]
    made_by = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(code) if "__pycache__" not in path.parts
    ]
    return warehouse.digest(names, made_by, *warehouse.identities({k: v for k, v in tables.items() if k != "stages"}))


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
        manifest: dict[str, Any] = json.loads(storage.read_bytes(manifest_uri(root, version)))
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(
            f"{pointer}: leads to no readable manifest ({error}); point it at a published release"
        ) from None
    return manifest


def manifest_uri(root: str, version: str) -> str:
    """Where a version's manifest stands."""
    return storage.join(root, "releases", version, "manifest.json")


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
        return os.environ.get("SAFEPAIRS_REVISION", "unknown")
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
