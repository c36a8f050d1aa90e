import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import s3fs

from flows.pipeline import main, pipeline
from infra import snapshot, storage
from tasks import config as configs
from tasks.release import release
from tasks.release.candidate import Candidate
from tasks.release.release import Release
from tasks.tables import Stage
from tasks.work.job import RunJob
from tests.conftest import ROOT, asked, write_config
from tests.s3_server import ACCESS_KEY, SECRET_KEY, Asked, counted, most_asked, operations
from tests.tasks.release.releases import Files

MOST_OF_ONE_KEY = 30
"""Requests for one key: a store is listed by each job before and after, and by each query over it."""


@dataclass(frozen=True)
class Run:
    """One finished run on a bucket: its folder, its storage, its release, its stages, and what it asked of the bucket."""

    folder: Path
    root: str
    release: Release
    stages: list[Stage]
    asked: Asked


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, bucket: str, cluster: RunJob, prefect_server: None) -> Run:
    folder = tmp_path_factory.mktemp("s3")
    root = f"{bucket}/pipeline"
    snapshot.kept.clear()
    with counted() as asked:
        release, stages = pipeline(str(write_config(folder)), storage=root)
    return Run(folder, root, release, stages, asked)


def test_a_bucket_holds_the_release_and_the_disk_nothing(published: Run) -> None:
    folder, root, made = published.folder, published.root, published.release
    pointer = json.loads(storage.read_bytes(f"{root}/releases/latest.json"))
    manifest = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    files = {file.removeprefix(f"{made.uri}/") for file in storage.listing(made.uri)}
    assert pointer["version"] == manifest["version"] == made.version
    assert files == {file["path"] for file in manifest["files"]} | {"manifest.json"}
    assert not (folder / "storage").exists()


def test_the_same_run_again_asks_nothing_and_publishes_nothing(published: Run) -> None:
    before = len(asked(published.folder))
    snapshot.kept.clear()
    with counted() as requests:
        again, _ = pipeline(str(published.folder / "config.toml"), storage=published.root)
    assert again.version == published.release.version
    assert len(asked(published.folder)) == before
    assert len(storage.folders(f"{published.root}/releases")) == 1
    # The stage that made a table looks at it, its retry would, and the first reader reads it whole: all else is found by
    # listing. Each file of the release is read once, and held to its digest.
    tables, files = storage.listing(f"{published.root}/tables"), storage.listing(published.release.uri)
    assert requests.total() <= 3 * len(tables) + len(files), operations(requests)
    assert most_asked(requests) <= MOST_OF_ONE_KEY, requests.most_common(5)


def test_a_run_asks_the_bucket_a_few_times_for_each_file(published: Run) -> None:
    # A table is missed (twice: as a file, as a folder), written, looked at, read once, and looked at by each connection that
    # has it; a file of the release is written, read once, copied and looked at for that. DuckDB alone would ask 70 times.
    files = storage.listing(published.root)
    assert published.asked.total() <= 6 * len(files), operations(published.asked)
    assert most_asked(published.asked) <= MOST_OF_ONE_KEY, published.asked.most_common(5)


def test_the_shell_reads_a_bucket_with_the_credentials_of_the_environment(published: Run) -> None:
    made = published.release
    shell = subprocess.run(
        [sys.executable, "-m", "tasks.release.shell", published.root],
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
    assert "*.parquet" not in storage.read_bytes(f"{published.root}/releases/catalog.sql").decode()


def test_no_credential_is_written(published: Run) -> None:
    for file in storage.listing(published.root):
        content = storage.read_bytes(file)
        assert SECRET_KEY.encode() not in content
        assert f'"{ACCESS_KEY}"'.encode() not in content.replace(b'"prompt_source": "tests"', b"")


def test_a_publisher_that_was_killed_before_the_pointer_goes_on_with_its_version(
    published: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bucket: str
) -> None:
    root = f"{bucket}/{tmp_path.name}"
    config = str(published.folder / "config.toml")
    candidate, files, verdict = examined_again(published, root)
    on_one_day = partial(release.next_version, day=date.fromisoformat(candidate.version.replace(".", "-")))
    monkeypatch.setattr("flows.preferences_to_candidate.next_version", on_one_day)
    with monkeypatch.context() as patched:
        patched.setattr(release, "catalog", fail)
        with pytest.raises(ZeroDivisionError):
            release.publish(configs.load(config), candidate, files, verdict, None, published.stages, root)
    assert storage.listing(candidate.uri) == []
    assert not storage.exists(f"{root}/releases/latest.json")
    made, _ = pipeline(config, storage=root)
    assert made.version == candidate.version
    assert [address.rsplit("/", 1)[-1] for address in storage.folders(f"{root}/releases")] == [made.version]
    assert json.loads(storage.read_bytes(f"{root}/releases/latest.json"))["version"] == made.version


def examined_again(published: Run, root: str) -> tuple[Candidate, Files, dict[str, Any]]:
    """A storage as that of the finished run was when its gate had passed: tables, and a candidate with its verdict."""
    made = published.release
    manifest = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    uri = f"{root}/candidates/{made.version}-{manifest['fingerprint'][:8]}"
    copy(f"{published.root}/tables", f"{root}/tables")
    copy(made.uri, uri)
    storage.remove(f"{uri}/manifest.json")
    files = tuple(manifest["files"])
    data = tuple(file for file in files if not file["path"].startswith("gate/"))
    return Candidate(made.version, uri, data, manifest["fingerprint"]), files, manifest["verdict"]


def copy(source: str, target: str) -> None:
    """All files below `source`, below `target`."""
    files = [storage.filesystem(file)[1] for file in storage.listing(source)]
    fs, path = storage.filesystem(source)
    fs.copy(files, [storage.filesystem(target)[1] + file.removeprefix(path) for file in files])


def fail(*_: object) -> str:
    raise ZeroDivisionError


def test_a_bucket_that_does_not_answer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write_config(tmp_path))
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patched.setattr(sys, "argv", ["flows.pipeline", config, "--storage", "s3://nowhere/x"])
        # fsspec keeps each file system that it made, with the endpoint of its time.
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(SystemExit) as ended:
            main()
    s3fs.S3FileSystem.clear_instance_cache()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.strip().splitlines()[-1].startswith("error: storage s3://nowhere/x: ")
    assert "Traceback" not in said


def test_rows_of_the_release_are_read_back_from_the_bucket(published: Run) -> None:
    made = published.release
    with duckdb.connect() as connection:
        connection.register_filesystem(storage.filesystem(made.uri)[0])
        (row,) = connection.execute(
            "SELECT count(*) FROM read_parquet($uri)", {"uri": f"{made.uri}/qa/*/*.parquet"}
        ).fetchall()
    assert row[0] > 0
