"""Publish small releases without a run, as the gate left them."""

from collections.abc import Mapping
from datetime import date
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks.config import Config, load
from tasks.release.candidate import Candidate, describe_files
from tasks.release.manifest import File
from tasks.release.release import Decision, Release, next_version, publish
from tests.conftest import ROOT

Files = tuple[File, ...]
VERDICT = {"said": "passed"}
DAY = date(2026, 1, 2)
ROWS = 3
PATHS = ("dual/a/train.parquet", "annotations/labels.parquet", "README.md", "charts/order.svg", "gate/verdict.json")


@cache
def config() -> Config:
    """A configuration whose engines are not asked."""
    return load(str(ROOT / "flows/configs/scripted.toml"))


def contents(version: str) -> Mapping[str, bytes]:
    """The files of a candidate, whose tables hold the numbers from 1 to ROWS."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": list(range(1, ROWS + 1))}), sink)
    table = sink.getvalue().to_pybytes()
    return {path: table if path.endswith(".parquet") else f"{path} of {version}".encode() for path in PATHS}


def write(root: str, fingerprint: str = "mine", day: date = DAY) -> tuple[Candidate, Files]:
    """A candidate as the gate left it, and all its files."""
    version = next_version(root, fingerprint, day)
    uri = storage.join(root, "candidates", f"{version}-{fingerprint}")
    for path, content in contents(version).items():
        storage.write_bytes(storage.join(uri, path), content)
    files = tuple(describe_files(uri))
    data = tuple(file for file in files if not file["path"].startswith("gate/"))
    return Candidate(version, uri, data, fingerprint), files


def publish_candidate(root: str, candidate: Candidate, files: Files, decision: Decision | None = None) -> Release:
    """Publish what the gate left."""
    return publish(config(), candidate, files, VERDICT, decision, [], root)


def release(root: str, fingerprint: str = "mine") -> Release:
    """A published release."""
    return publish_candidate(root, *write(root, fingerprint))
