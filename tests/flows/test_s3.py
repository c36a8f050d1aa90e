import json
import subprocess
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.pipeline import pipeline
from infra import storage
from tasks.release import release
from tasks.work.job import RunJob
from tests.conftest import ROOT, asked, write_config
from tests.s3_server import ACCESS_KEY, SECRET_KEY

Run = tuple[Path, str, Any]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, bucket: str, cluster: RunJob, prefect_server: None) -> Run:
    """One finished run on a bucket: its folder, its storage, its release."""
    folder = tmp_path_factory.mktemp("s3")
    root = f"{bucket}/pipeline"
    made, _ = pipeline(str(write_config(folder)), storage=root)
    return folder, root, made


def test_a_bucket_holds_the_release_and_the_disk_nothing(published: Run) -> None:
    folder, root, made = published
    pointer = json.loads(storage.read_bytes(f"{root}/releases/latest.json"))
    manifest = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    files = {file.removeprefix(f"{made.uri}/") for file in storage.listing(made.uri)}
    assert pointer["version"] == manifest["version"] == made.version
    assert files == {file["path"] for file in manifest["files"]} | {"manifest.json"}
    assert not (folder / "storage").exists()


def test_the_same_run_again_asks_nothing_and_publishes_nothing(published: Run) -> None:
    folder, root, made = published
    before = len(asked(folder))
    again, _ = pipeline(str(folder / "config.toml"), storage=root)
    assert again.version == made.version
    assert len(asked(folder)) == before
    assert len(storage.folders(f"{root}/releases")) == 1


def test_the_shell_reads_a_bucket_with_the_credentials_of_the_environment(published: Run) -> None:
    _, root, made = published
    shell = subprocess.run(
        [sys.executable, "-m", "infra.shell", root],
        cwd=ROOT,
        input=".mode csv\nSELECT count(*) FROM dual;",
        capture_output=True,
        text=True,
        check=True,
    )
    manifest = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    rows = sum(file["rows"] for file in manifest["files"] if file["path"].startswith("dual/"))
    assert str(rows) in shell.stdout.splitlines()


def test_the_catalog_names_every_file_so_that_nothing_is_listed(published: Run) -> None:
    _, root, _ = published
    assert "*.parquet" not in storage.read_bytes(f"{root}/releases/catalog.sql").decode()


def test_no_credential_is_written(published: Run) -> None:
    _, root, _ = published
    for file in storage.listing(root):
        content = storage.read_bytes(file)
        assert SECRET_KEY.encode() not in content
        assert f'"{ACCESS_KEY}"'.encode() not in content.replace(b'"prompt_source": "tests"', b"")


def test_a_publisher_that_was_killed_before_the_pointer_goes_on_with_its_version(
    published: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bucket: str
) -> None:
    folder, _, _ = published
    root = f"{bucket}/{tmp_path.name}"
    on_one_day = partial(release.next_version, day=date(2026, 1, 31))
    monkeypatch.setattr("flows.preferences_to_candidate.next_version", on_one_day)
    with monkeypatch.context() as patched:
        patched.setattr(release, "catalog", fail)
        with pytest.raises(ZeroDivisionError):
            pipeline(str(folder / "config.toml"), storage=root)
    assert not storage.exists(f"{root}/releases/latest.json")
    made, _ = pipeline(str(folder / "config.toml"), storage=root)
    assert [address.rsplit("/", 1)[-1] for address in storage.folders(f"{root}/releases")] == [made.version]
    assert json.loads(storage.read_bytes(f"{root}/releases/latest.json"))["version"] == made.version


def fail(*_: object) -> str:
    raise ZeroDivisionError


def test_a_bucket_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", str(write_config(tmp_path)), "--storage", "s3://nowhere/x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: storage s3://nowhere/x: ")
    assert "Traceback" not in result.stderr


def test_rows_of_the_release_are_read_back_from_the_bucket(published: Run) -> None:
    _, _, made = published
    with duckdb.connect() as connection:
        connection.register_filesystem(storage.filesystem(made.uri)[0])
        (row,) = connection.execute(
            "SELECT count(*) FROM read_parquet($uri)", {"uri": f"{made.uri}/qa/*/*.parquet"}
        ).fetchall()
    assert row[0] > 0
