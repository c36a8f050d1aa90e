import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra import storage
from tasks.errors import StorageError
from tasks.release.catalog import catalog, current_catalog
from tasks.release.manifest import lineage
from tests.conftest import ROOT
from tests.examples import examples
from tests.tasks.release import releases
from tests.waiting import until

LINE = re.compile(r'--.*|CREATE SCHEMA IF NOT EXISTS [\w".]+;|CREATE OR REPLACE VIEW [\w".]+ AS .*;|')
HOSTILE = (
    "dual/../../x.parquet",
    "/dual/x.parquet",
    "dual/a'); ATTACH 'x.parquet",
    "dual/a\n.shell touch hit\n.parquet",
    "dual/a\r.shell touch hit\r.parquet",
    "dual/a;.parquet",
    "dual/*.parquet",
    "dual/.x.parquet",
    "annotations/a AS SELECT 1; --.parquet",
    'annotations/a".parquet',
    "",
)


def write_manifest(root: str, version: str, *paths: str) -> bytes:
    """The manifest of a release with these files, in its place."""
    files = [{"path": path, "sha256": "0" * 64, "bytes": 0, "rows": None} for path in paths]
    told = {"version": version, "parent": None, "fingerprint": "mine", "files": files, "verdict": {"said": "passed"}}
    content = json.dumps(told).encode()
    storage.write_bytes(storage.join(root, "releases", version, "manifest.json"), content)
    return content


def point_to(root: str, version: str, manifest: bytes) -> None:
    pointer = {"version": version, "manifest_sha256": hashlib.sha256(manifest).hexdigest()}
    storage.write_bytes(storage.join(root, "releases", "latest.json"), json.dumps(pointer).encode())


def query(root: str, asked: str) -> "subprocess.CompletedProcess[str]":
    """What `make sql` does with a query."""
    return subprocess.run(
        [sys.executable, "-m", "tasks.release.shell", root],
        cwd=ROOT,
        input=f".mode csv\n{asked}",
        capture_output=True,
        text=True,
        check=False,
    )


def test_ctrl_c_is_the_shells_and_leaves_no_trace_of_ours(tmp_path: Path) -> None:
    root = str(tmp_path)
    releases.release(root)
    command = [sys.executable, "-m", "tasks.release.shell", root]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as ours:
        until(psutil.Process(ours.pid).children, what="DuckDB's shell starts")
        ours.send_signal(signal.SIGINT)
        said, errors = ours.communicate(".mode csv\nSELECT 40 + 2 AS found;")
    assert ours.returncode == 0
    assert "Traceback" not in errors
    assert said.splitlines()[-2:] == ["found", "42"]


def test_the_catalog_has_every_whole_release_and_no_broken_one(root: str) -> None:
    known = dict.fromkeys(("2026.01.01", "2026.01.02", "2026.01.03"))
    write_manifest(root, "2026.01.01", "qa/a/train.parquet", "qa/a/test.parquet", "prompts/train.parquet")
    half = write_manifest(root, "2026.01.02", "qa/a/train.parquet")[:-9]
    storage.write_bytes(storage.join(root, "releases", "2026.01.02", "manifest.json"), half)
    storage.write_bytes(storage.join(root, "releases", "2026.01.03", "qa/a/train.parquet"), b"being copied")
    text = catalog(root, "2026.01.01", known)
    assert "2026.01.01/qa/a/test.parquet', '" in text
    assert "2026.01.02" not in text
    assert "2026.01.03" not in text


def test_the_catalog_of_a_release_has_views_of_the_annotations_that_it_has(root: str) -> None:
    write_manifest(root, "2026.01.01", "qa/a/train.parquet", "annotations/labels.parquet")
    text = catalog(root, "2026.01.01", {"2026.01.01": None})
    assert 'VIEW main."labels" AS' in text
    assert "agreement" not in text


def test_the_catalog_has_a_view_of_each_table_of_a_release_and_of_nothing_else(tmp_path: Path) -> None:
    files = {
        "prompts/train.parquet": 2,
        "qa/a/train.parquet": 3,
        "qa/b/train.parquet": 4,
        "qa/b/test.parquet": 5,
        "annotations/labels.parquet": 6,
        "annotations/pair_quotas.parquet": 7,
        "annotations/prompts.parquet": 10,
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
        connection.execute(catalog(str(tmp_path), "2026.01.01", {"2026.01.01": None}))
        views = connection.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        counts = {name: len(connection.table(name).fetchall()) for schema, name in views if schema == "main"}
        splits = connection.execute("SELECT split, count(*) FROM qa GROUP BY ALL").fetchall()
    assert counts == {
        "prompts": 2,
        "qa": 12,
        "labels": 6,
        "pair_quotas": 7,
        "annotated_prompts": 10,
        "dropped": 8,
    }
    assert {name for schema, name in views if schema == "2026.01.01"} == set(counts)
    assert dict(splits) == {"train": 7, "test": 5}


def test_the_catalog_and_the_shell_read_a_bucket_whatever_its_folders_are_called(bucket: str) -> None:
    root = f"{bucket}/range=3/v[1] it's"
    uri = f"{root}/releases/2026.01.01/annotations/labels.parquet"
    storage.write_bytes(uri, b"")
    point_to(root, "2026.01.01", write_manifest(root, "2026.01.01", "annotations/labels.parquet"))
    with duckdb.connect() as connection:
        connection.register_filesystem(storage.filesystem(root)[0])
        connection.sql("FROM range(5)").write_parquet(uri)
        connection.execute(str(current_catalog(root)))
        assert connection.table("labels").fetchall() == [(number,) for number in range(5)]
    assert "10" in query(root, "SELECT sum(range) FROM labels;").stdout.splitlines()


def test_the_shell_runs_nothing_that_stands_in_a_storage(tmp_path: Path) -> None:
    root, hit = str(tmp_path / "storage"), tmp_path / "hit"
    made = releases.release(root)
    for name in ("releases/catalog.sql", ".duckdbrc", f"releases/{made.version}/catalog.sql"):
        (tmp_path / "storage" / name).write_text(f".shell touch {hit}\nCOPY (SELECT 1) TO '{hit}';\n")
    asked = query(root, f'SELECT sum(id) FROM labels; SELECT sum(id) FROM "{made.version}".dual;')
    assert asked.stdout.split().count("6") == 2, asked.stderr
    assert not hit.exists()


def test_the_shell_opens_the_releases_that_are_whole_and_refuses_a_changed_manifest_in_one_line(tmp_path: Path) -> None:
    root = str(tmp_path / "storage")
    first, second = releases.release(root), releases.release(root, "theirs")
    storage.remove(storage.join(first.uri, "dual/a/train.parquet"))
    asked = query(root, f'SELECT sum(id) FROM dual; SELECT sum(id) FROM "{second.version}".labels;')
    assert asked.stdout.split().count("6") == 2, asked.stderr
    storage.write_bytes(f"{second.uri}/manifest.json", storage.read_bytes(f"{second.uri}/manifest.json") + b" ")
    refused = query(root, "SELECT 1;")
    assert refused.returncode == 1
    assert re.fullmatch(r"error: \S+manifest\.json: was changed after it was published; .*\n", refused.stderr)
    assert refused.stdout == ""


def test_a_release_whose_manifest_was_changed_has_no_views_and_leaves_the_others_alone(root: str) -> None:
    first, second, third = (releases.release(root, name) for name in ("mine", "theirs", "others"))
    content = storage.read_bytes(f"{second.uri}/manifest.json")
    storage.write_bytes(f"{second.uri}/manifest.json", content.replace(b'"seed": ', b'"seed": 1'))
    for _ in range(2):
        text = str(current_catalog(root))
        assert f'"{first.version}"' in text
        assert f'"{second.version}"' not in text
        assert f'"{third.version}"' in text
        third = releases.release(root, "later")
    assert lineage(root)[second.version] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b'{"files": 3}', b"\xff", b'{"version": "..", "files": []}']
)
def test_an_old_manifest_that_broke_blocks_nothing(tmp_path: Path, content: bytes) -> None:
    root = str(tmp_path)
    first, second = releases.release(root), releases.release(root, "theirs")
    storage.write_bytes(f"{first.uri}/manifest.json", content)
    third = releases.release(root, "others")
    text = str(current_catalog(root))
    assert f'"{first.version}"' not in text
    assert {f'"{second.version}"', f'"{third.version}"'} <= set(re.findall(r'"[\d.]+"', text))


def test_what_was_never_published_has_no_views(root: str) -> None:
    releases.release(root)
    write_manifest(root, "2026.01.01", "qa/a/train.parquet")
    assert "2026.01.01" not in str(current_catalog(root))
    releases.release(root, "theirs")
    assert "2026.01.01" not in str(current_catalog(root))


def test_releases_of_a_time_when_manifests_told_of_no_others_have_views(tmp_path: Path) -> None:
    root = str(tmp_path)
    write_manifest(root, "2026.01.01", "qa/a/train.parquet")
    point_to(root, "2026.01.02", write_manifest(root, "2026.01.02", "qa/a/train.parquet"))
    assert '"2026.01.01"' in str(current_catalog(root))
    releases.release(root)
    assert '"2026.01.01"' in str(current_catalog(root))
    write_manifest(root, "2026.01.01", "dual/a/train.parquet")
    assert '"2026.01.01"' not in str(current_catalog(root))


names = st.text(st.sampled_from("ab.-_*?[]'\";/\\\n\r\t \x00\x85\u2028"), max_size=9)


@examples(300)
@given(
    folder=st.sampled_from(["dual", "annotations", "dropped.parquet", ""]) | names,
    name=names,
    suffix=st.sampled_from([".parquet", ""]),
)
@example(folder="annotations", name="select", suffix=".parquet")
@example(folder="annotations", name="b\n.shell a", suffix=".parquet")
def test_whatever_path_stands_in_a_manifest_it_is_refused_or_a_name_in_a_view(
    tmp_path_factory: pytest.TempPathFactory, folder: str, name: str, suffix: str
) -> None:
    root = str(tmp_path_factory.mktemp("root"))
    path = "/".join(part for part in (folder, name) if part) + suffix
    point_to(root, "2026.01.01", write_manifest(root, "2026.01.01", "qa/a/train.parquet", path))
    try:
        text = str(current_catalog(root))
    except StorageError:
        return
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    assert {path, "qa/a/train.parquet"} >= set(re.findall(r"'releases/2026.01.01/([^']*)'", text))
    assert {".", ".."}.isdisjoint(path.split("/"))


@pytest.mark.parametrize("path", HOSTILE)
def test_a_manifest_of_files_outside_its_release_is_none(tmp_path: Path, path: str) -> None:
    root = str(tmp_path)
    point_to(root, "2026.01.01", write_manifest(root, "2026.01.01", path))
    with pytest.raises(StorageError, match="is no manifest"):
        current_catalog(root)
