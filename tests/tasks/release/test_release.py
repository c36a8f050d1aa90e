import hashlib
import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from tasks.config import load
from tasks.errors import StorageError
from tasks.release import release
from tasks.release.candidate import Candidate, describe_files, release_fingerprint
from tests.conftest import ROOT, write_config


def write_manifest(root: str, version: str, *paths: str) -> bytes:
    content = json.dumps({"version": version, "files": [{"path": path} for path in paths]}).encode()
    storage.write_bytes(storage.join(root, "releases", version, "manifest.json"), content)
    return content


def test_the_catalog_has_every_whole_release_and_no_broken_one(root: str) -> None:
    write_manifest(root, "2026.01.01", "qa/a/train.parquet", "qa/a/test.parquet", "prompts/train.parquet")
    half = write_manifest(root, "2026.01.02", "qa/a/train.parquet")[:-9]
    storage.write_bytes(storage.join(root, "releases", "2026.01.02", "manifest.json"), half)
    storage.write_bytes(storage.join(root, "releases", "2026.01.03", "qa/a/train.parquet"), b"being copied")
    catalog = release.catalog(root, "2026.01.01")
    assert "2026.01.01/qa/a/test.parquet', '" in catalog
    assert "2026.01.02" not in catalog
    assert "2026.01.03" not in catalog


def test_the_catalog_of_a_release_has_views_of_the_annotations_that_it_has(root: str) -> None:
    write_manifest(root, "2026.01.01", "qa/a/train.parquet", "annotations/labels.parquet")
    catalog = release.catalog(root, "2026.01.01")
    assert "VIEW main.labels AS" in catalog
    assert "agreement" not in catalog


def test_the_catalog_has_a_view_of_each_table_of_a_release_and_of_nothing_else(tmp_path: Path) -> None:
    files = {
        "prompts/train.parquet": 2,
        "qa/a/train.parquet": 3,
        "qa/b/train.parquet": 4,
        "qa/b/test.parquet": 5,
        "annotations/labels.parquet": 6,
        "annotations/pair_quotas.parquet": 7,
        "dropped.parquet": 8,
        "gate/failing/labels.votes_in_range.parquet": 9,
        "README.md": None,
    }
    for path, rows in files.items():
        if rows:
            (tmp_path / "releases/2026.01.01" / path).parent.mkdir(parents=True, exist_ok=True)
            duckdb.sql(f"FROM range({rows})").write_parquet(str(tmp_path / "releases/2026.01.01" / path))
    write_manifest(str(tmp_path), "2026.01.01", *files)
    with duckdb.connect(config={"file_search_path": str(tmp_path)}) as connection:
        connection.execute(release.catalog(str(tmp_path), "2026.01.01"))
        views = connection.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        counts = {name: len(connection.table(name).fetchall()) for schema, name in views if schema == "main"}
        splits = connection.execute("SELECT split, count(*) FROM qa GROUP BY ALL").fetchall()
    assert counts == {"prompts": 2, "qa": 12, "labels": 6, "pair_quotas": 7, "dropped": 8}
    assert {name for schema, name in views if schema == "2026.01.01"} == set(counts)
    assert dict(splits) == {"train": 7, "test": 5}


def test_the_catalog_reads_a_bucket_whatever_its_folders_are_called(bucket: str) -> None:
    root = f"{bucket}/range=3/v[1] it's"
    uri = f"{root}/releases/2026.01.01/annotations/labels.parquet"
    storage.write_bytes(uri, b"")
    write_manifest(root, "2026.01.01", "annotations/labels.parquet")
    with duckdb.connect() as connection:
        connection.register_filesystem(storage.filesystem(root)[0])
        connection.sql("FROM range(5)").write_parquet(uri)
        catalog = release.catalog(root, "2026.01.01")
        connection.execute(catalog)
        storage.write_bytes(f"{root}/releases/catalog.sql", catalog.encode())
        assert connection.table("labels").fetchall() == [(number,) for number in range(5)]
    told = subprocess.run(
        [sys.executable, "-m", "infra.shell", root],
        cwd=ROOT,
        input=".mode csv\nSELECT sum(range) FROM labels;",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "10" in told.stdout.splitlines()


def test_files_are_described_alike_wherever_they_stand(root: str) -> None:
    uri = storage.join(root, "described")
    sink = io.BytesIO()
    pq.write_table(pa.table({"number": [1, 2, 3]}), sink)
    contents = {"README.md": b"# Card", "empty.txt": b"", "qa/a/train.parquet": sink.getvalue()}
    for path, content in contents.items():
        storage.write_bytes(storage.join(uri, path), content)
    for _ in range(2):
        assert list(describe_files(uri)) == [
            {
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "rows": 3 if path.endswith(".parquet") else None,
            }
            for path, content in contents.items()
        ]


def test_the_manifest_says_nothing_of_a_signed_url_but_its_path(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)), "https://h/x.csv?X-Amz-Signature=secret")
    candidate = Candidate("2026.01.01", str(tmp_path / "candidate"), (), "f")
    described = release.describe_release(config, candidate, {}, None, [], str(tmp_path))
    assert described["config"]["prompts"]["source"] == "https://h/x.csv"
    assert "secret" not in json.dumps(described)


def test_a_gate_that_asks_for_another_agreement_makes_another_release(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    before = release_fingerprint(load(str(path)), [])
    assert release_fingerprint(load(str(path)), []) == before
    path.write_text(path.read_text() + '[[gate.agreement]]\nquestion = "safety"\nat_least = 0.6\n')
    assert release_fingerprint(load(str(path)), []) != before


def test_a_pointer_to_half_a_manifest_is_never_followed(tmp_path: Path) -> None:
    root = str(tmp_path)
    half = write_manifest(root, "2026.01.01", "qa/a/train.parquet")[:-9]
    storage.write_bytes(storage.join(root, "releases", "2026.01.01", "manifest.json"), half)
    storage.write_bytes(storage.join(root, "releases", "latest.json"), b'{"version": "2026.01.01"}')
    with pytest.raises(StorageError, match=r"latest\.json: leads to no readable manifest"):
        release.published(root)


def test_a_version_that_stands_there_or_is_claimed_by_another_is_not_taken_again(root: str) -> None:
    day = date(2026, 1, 31)
    assert release.next_version(root, "mine", day) == "2026.01.31"
    write_manifest(root, "2026.01.31")
    assert release.next_version(root, "mine", day) == "2026.01.31.1"
    storage.create(release.claim_address(root, "2026.01.31.1"), b"theirs")
    assert release.next_version(root, "mine", day) == "2026.01.31.2"
    assert release.next_version(root, "theirs", day) == "2026.01.31.1"


def test_a_version_is_the_day_in_utc(tmp_path: Path) -> None:
    before = datetime.now(UTC).date()
    version = release.next_version(str(tmp_path), "mine")
    assert before <= datetime.strptime(version, "%Y.%m.%d").replace(tzinfo=UTC).date() <= datetime.now(UTC).date()
