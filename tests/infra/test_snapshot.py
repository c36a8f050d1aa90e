"""Files of a bucket, as DuckDB and others read them: in few requests, and never as they stood before."""

import hashlib
import io
import random
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from botocore.exceptions import ClientError
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from s3fs.core import aiobotocore

from infra import snapshot, storage
from infra.snapshot import Info, Snapshot
from tasks import warehouse
from tasks.engines import blocks
from tasks.engines.blocks import put
from tasks.errors import StorageError
from tasks.release.candidate import describe_files
from tasks.tables import VERDICTS, Ref
from tests.examples import examples
from tests.infra.test_storage import NAMES
from tests.s3_server import counted, operations

FOOTER = 2**16
"""Bytes that Arrow asks for at the end of a file, before it knows how long its footer is."""


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """What other tests have read is not known here."""
    snapshot.kept.clear()
    yield
    snapshot.kept.clear()


def numbers(*values: int) -> pa.Table:
    return pa.table({"number": pa.array(values, pa.int64())})


def table(uri: str, *values: int) -> Ref:
    put(numbers(*values), uri)
    return Ref(uri, len(values), uri)


def read(ref: Ref) -> list[int]:
    found: list[int] = warehouse.read(ref)["number"].to_pylist()
    return found


def test_a_table_is_looked_at_once_and_read_once(bucket: str) -> None:
    ref = table(f"{bucket}/once/a.parquet", 1, 2, 3)
    with counted() as asked:
        assert read(ref) == [1, 2, 3]
    assert operations(asked) == {"HeadObject": 1, "GetObject": 1}
    with counted() as asked:
        assert read(ref) == [1, 2, 3]
    assert operations(asked) == {"HeadObject": 1}


def test_however_many_queries_ask_a_connection_the_bucket_is_asked_once(bucket: str) -> None:
    refs = {name: table(f"{bucket}/queries/{name}.parquet", number) for number, name in enumerate("abc")}
    with counted() as asked, warehouse.connect(refs) as connection:
        for _ in range(5):
            assert connection.execute("SELECT number FROM a UNION ALL FROM c ORDER BY ALL").fetchall() == [(0,), (2,)]
    assert operations(asked) == {"HeadObject": 3, "GetObject": 3}


def test_the_blocks_of_a_store_are_listed_and_each_read_once(bucket: str) -> None:
    for number in range(4):
        table(f"{bucket}/blocks/{number}.parquet", number)
    with counted() as asked:
        assert sorted(read(Ref(f"{bucket}/blocks/*.parquet", 4, "b"))) == [0, 1, 2, 3]
    assert operations(asked) == {"ListObjectsV2": 1, "GetObject": 4}


def test_a_file_that_another_one_wrote_over_is_read_as_it_stands_now(bucket: str) -> None:
    ref = table(f"{bucket}/over/a.parquet", 1)
    assert read(ref) == [1]
    table(ref.uri, 2)
    assert read(ref) == [2]
    table(ref.uri, 1)
    assert read(ref) == [1]


def test_a_file_that_another_one_deleted_is_gone(bucket: str) -> None:
    ref = table(f"{bucket}/gone/a.parquet", 1)
    assert read(ref) == [1]
    storage.remove(ref.uri)
    with pytest.raises(StorageError, match=r"a\.parquet: is gone"):
        read(ref)
    with pytest.raises(FileNotFoundError), storage.opened(ref.uri):
        pass
    assert warehouse.standing(ref.uri) is None


@pytest.mark.parametrize("broken", [b"", b"PAR1", None])
def test_a_table_that_was_deleted_or_broken_since_is_made_again(root: str, broken: bytes | None) -> None:
    said = {"verdicts": VERDICTS.schema.empty_table()}
    made = warehouse.build(VERDICTS, root, "all_verdicts", said)
    for _ in range(2):
        if broken is None:
            storage.remove(made.uri)
        else:
            storage.write_bytes(made.uri, broken)
        assert warehouse.build(VERDICTS, root, "all_verdicts", said) == made
        assert warehouse.read(made).num_rows == 0
        assert storage.exists(f"{made.uri}.broken") == (broken is not None)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_in_a_folder_of_any_name_is_read(bucket: str, name: str) -> None:
    beside = table(f"{bucket}/folders/a1b/a.parquet", 2)
    ref = table(f"{bucket}/folders/{name}/a.parquet", 1)
    with warehouse.connect({"one": ref, "two": [ref, beside]}) as connection:
        assert connection.execute("FROM one").fetchall() == [(1,)]
        assert connection.execute("FROM two ORDER BY ALL").fetchall() == [(1,), (2,)]
        warehouse.write(connection, "FROM two", f"{bucket}/folders/{name}/c.parquet", {})
    assert sorted(read(Ref(f"{bucket}/folders/{name}/*.parquet", 3, "f"))) == [1, 1, 2]


PARTS = 3
ROWS = 12
EACH = 50_000


def send(uri: str, content: bytes, plain: bool) -> None:
    """Put a file at once, or as one that is made of parts, whose ETag is not its MD5."""
    fs, path = storage.filesystem(uri)
    if plain:
        fs.pipe_file(path, content)
        return
    bucket, key = path.split("/", 1)
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = fs.call_s3("create_multipart_upload", **upload)["UploadId"]
    etag = fs.call_s3("upload_part", **upload, PartNumber=1, Body=content)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    fs.call_s3("complete_multipart_upload", **upload, MultipartUpload=parts)


def filled(uri: str, plain: bool) -> Ref:
    """A table of three row groups, too large to be read whole for a footer, under a plain MD5 or put in parts."""
    texts = [random.Random(number).randbytes(EACH).hex() for number in range(PARTS * ROWS)]
    sink = io.BytesIO()
    rows = pa.table({"number": range(PARTS * ROWS), "text": texts})
    pq.write_table(rows, sink, compression="zstd", row_group_size=ROWS)
    content = sink.getvalue()
    assert len(content) > snapshot.TINY
    send(uri, content, plain)
    (info,) = storage.look([uri]).values()
    assert (info["ETag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"') == plain
    return Ref(uri, PARTS * ROWS, uri)


@pytest.mark.parametrize("plain", [True, False])
def test_whether_a_table_stands_takes_its_footer(bucket: str, plain: bool) -> None:
    ref = filled(f"{bucket}/footers/{plain}.parquet", plain)
    with counted() as asked:
        found = warehouse.standing(ref.uri)
    assert found is not None
    assert found.num_rows == ref.rows
    assert operations(asked) == {"HeadObject": 1, "GetObject": 1}
    assert asked.bytes_read <= FOOTER
    with counted() as asked:
        assert warehouse.standing(ref.uri) is not None
    assert operations(asked) == {"HeadObject": 1}


@pytest.mark.parametrize("plain", [True, False])
def test_a_process_reads_the_row_groups_of_its_blocks_once(bucket: str, plain: bool) -> None:
    ref = filled(f"{bucket}/groups/{plain}.parquet", plain)
    with counted() as asked:
        places = blocks.cut(ref.uri, ROWS // 4)
        found = [blocks.read(pa.Table.from_pylist([place]))["number"].to_pylist() for place in places[: ROWS - 4]]
    assert [number for block in found for number in block] == list(range((PARTS - 1) * ROWS))
    assert operations(asked) == {"HeadObject": 1 + ROWS - 4, "GetObject": 1 + PARTS - 1}
    assert asked.bytes_read <= FOOTER + (PARTS - 1) * ROWS * EACH * 1.1


def test_a_block_is_committed_in_one_request(bucket: str) -> None:
    with counted() as asked:
        blocks.commit(numbers(1, 2), f"{bucket}/committed", numbers(1, 2))
    assert operations(asked) == {"PutObject": 1}


def test_blocks_of_a_table_that_was_read_are_not_asked_for(bucket: str) -> None:
    ref = filled(f"{bucket}/known/a.parquet", plain=True)
    assert len(read(ref)) == ref.rows
    with counted() as asked:
        places = blocks.cut(ref.uri, ROWS)
        assert sum(blocks.read(pa.Table.from_pylist([place])).num_rows for place in places) == ref.rows
    assert operations(asked) == {"HeadObject": 1 + len(places)}


def test_parts_of_a_file_that_another_one_wrote_over_are_read_as_they_stand_now(bucket: str) -> None:
    uri = f"{bucket}/parts/a"
    first, second = (bytes([letter]) * (snapshot.TINY + 1) for letter in b"ab")
    for content in (first, second, first):
        storage.write_bytes(uri, content)
        with storage.opened(uri) as file:
            assert file.read(3) == content[:3]
    with storage.opened(uri) as file:
        storage.write_bytes(uri, second)
        with pytest.raises(OSError, match="no longer exists"):
            file.read(4)


def test_files_are_fetched_together_and_none_is_kept_for_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        table(f"{bucket}/fetched/{number}.parquet", number)
    get = s3fs.S3FileSystem._get_file
    at_once: list[int] = []
    begun: set[str] = set()

    async def watched(fs: s3fs.S3FileSystem, rpath: str, lpath: str, **options: Any) -> None:
        begun.add(rpath)
        await get(fs, rpath, lpath, **options)
        at_once.append(len(begun))
        begun.remove(rpath)

    monkeypatch.setattr(s3fs.S3FileSystem, "_get_file", watched)
    storage.fetch(f"{bucket}/fetched", str(tmp_path))
    assert max(at_once) == 6
    assert not snapshot.kept
    assert [pq.read_table(tmp_path / f"{n}.parquet")["number"].to_pylist() for n in range(6)] == [[n] for n in range(6)]


def test_what_is_kept_is_fetched_from_memory(bucket: str, tmp_path: Path) -> None:
    refs = {name: table(f"{bucket}/remembered/{name}.parquet", number) for number, name in enumerate("abc")}
    assert read(refs["a"]) == [0]
    with counted() as asked:
        storage.fetch(f"{bucket}/remembered", str(tmp_path))
    assert operations(asked) == {"ListObjectsV2": 1, "GetObject": 2}
    assert [pq.read_table(tmp_path / f"{name}.parquet")["number"].to_pylist() for name in "abc"] == [[0], [1], [2]]


def test_a_large_file_is_read_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = table(f"{bucket}/large/a.parquet", *range(100))
    monkeypatch.setattr(snapshot, "WHOLE", 100)
    monkeypatch.setattr(snapshot, "TINY", 100)
    assert read(ref) == list(range(100))
    assert not snapshot.kept
    with storage.opened(ref.uri) as file:
        assert pq.read_table(file).num_rows == 100


def test_of_a_large_file_queries_read_the_columns_that_they_name(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = filled(f"{bucket}/columns/a.parquet", plain=True)
    monkeypatch.setattr(snapshot, "WHOLE", 100)
    with counted() as asked, warehouse.connect({"a": ref}) as connection:
        assert connection.execute("SELECT sum(number) FROM a").fetchall() == [(sum(range(ref.rows)),)]
    assert asked.bytes_read <= FOOTER + EACH


def test_a_large_file_is_described_in_few_requests(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = filled(f"{bucket}/described/a.parquet", plain=True)
    monkeypatch.setattr(snapshot, "WHOLE", 100)
    content = storage.read_bytes(ref.uri)
    with counted() as asked:
        (described,) = describe_files(f"{bucket}/described")
    assert described == {
        "path": "a.parquet",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "rows": ref.rows,
    }
    assert operations(asked) == {"ListObjectsV2": 1, "HeadObject": 1, "GetObject": 2}


def test_what_one_writes_is_read_by_the_same_connection_as_written(bucket: str) -> None:
    ref = table(f"{bucket}/written/a.parquet", 1)
    with warehouse.connect({"a": ref}) as connection:
        warehouse.write(connection, "SELECT 2 AS number", ref.uri, {})
        assert connection.execute("FROM a").fetchall() == [(2,)]


@pytest.mark.parametrize("name", ["x", "x[1]"])
def test_a_store_that_duckdb_does_not_know_is_written_and_holds_nothing_else(name: str) -> None:
    uri = f"memory://stores/{name}/x.parquet"
    with warehouse.connect({"numbers": numbers(1)}) as connection:
        warehouse.write(connection, "FROM numbers", uri, {})
    with warehouse.connect({"x": Ref(uri, 1, uri)}) as connection:
        warehouse.write(connection, "SELECT number + 1 AS number FROM x", uri, {})
        assert connection.execute("FROM x").fetchall() == [(2,)]
    assert read(Ref(uri, 1, uri)) == [2]
    assert [file.rsplit("/", 1)[-1] for file in storage.listing(uri.rsplit("/", 1)[0])] == ["x.parquet"]


def test_what_a_busy_server_did_not_answer_counts_for_nothing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = table(f"{bucket}/busy/a.parquet", 1)
    clients = aiobotocore.client.AioBaseClient
    call = clients._make_api_call
    failed: set[str] = set()

    async def fail_once(client: Any, operation: str, given: dict[str, Any]) -> Any:
        if operation not in failed:
            failed.add(operation)
            said = {"Error": {"Code": "503"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(said, operation)
        return await call(client, operation, given)

    monkeypatch.setattr(clients, "_make_api_call", fail_once)
    with counted() as asked:
        assert read(ref) == [1]
    assert failed == {"HeadObject", "GetObject"}
    assert operations(asked) == {"HeadObject": 1, "GetObject": 1}


def test_a_bucket_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    ref = table(f"{bucket}/refused/a.parquet", 1)

    def refuse(*_: object) -> dict[str, Info]:
        raise PermissionError("Access Denied.")

    monkeypatch.setattr(snapshot, "look", refuse)
    with pytest.raises(StorageError, match=r"refused/a\.parquet: cannot be read: Access Denied\."):
        read(ref)


class Tagged(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files in memory, with ETags as S3 has them; what is read is noted."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.encrypted: set[str] = set()
        self.read: list[str] = []

    def info(self, path: str, **options: Any) -> Info:
        told: Info = super().info(path, **options)
        content = b"" if path in self.encrypted else self.store[path].getvalue()
        return told | {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}

    def cat_ranges(self, paths: list[str], *ranges: Any, **options: Any) -> list[bytes]:
        self.read += paths
        found: list[bytes] = super().cat_ranges(paths, *ranges, **options)
        return found


@pytest.fixture
def tagged() -> Tagged:
    fs = Tagged()
    for name in "abcd":
        fs.pipe_file(f"/{name}", name.encode() * 4)
    return fs


def contents(fs: Tagged, *paths: str) -> list[bytes]:
    found = Snapshot(fs, snapshot.look(fs, paths))
    return [found.open(path).read() for path in paths]


def test_a_content_that_is_not_what_was_looked_at_is_not_kept(tagged: Tagged) -> None:
    tagged.encrypted.add("/a")
    assert contents(tagged, "/a", "/b") == [b"aaaa", b"bbbb"]
    assert list(snapshot.kept.values()) == [b"bbbb"]


def test_the_same_content_elsewhere_is_not_read_again(tagged: Tagged) -> None:
    contents(tagged, "/a")
    tagged.pipe_file("/moved", b"aaaa")
    assert contents(tagged, "/moved") == [b"aaaa"]
    assert tagged.read == ["/a"]


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(tagged: Tagged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST", 8)
    for path in ("/a", "/b", "/c"):
        assert contents(tagged, path)
    assert list(snapshot.kept.values()) == [b"bbbb", b"cccc"]
    assert contents(tagged, "/a", "/b", "/c") == [b"aaaa", b"bbbb", b"cccc"]
    assert list(snapshot.kept.values()) == [b"bbbb", b"cccc"]


def test_what_stands_nowhere_is_left_out_and_other_faults_are_raised(tagged: Tagged) -> None:
    assert set(snapshot.look(tagged, ["/a", "/nowhere"])) == {"/a"}
    tagged.store["/b"] = None
    with pytest.raises(AttributeError):
        snapshot.look(tagged, ["/a", "/b"])


def test_a_file_that_is_deleted_or_moved_through_a_snapshot_is_not_known_any_more(tagged: Tagged) -> None:
    found = Snapshot(tagged, snapshot.look(tagged, ["/a", "/b", "/c", "/d"]))
    found.mv("/a", "/b")
    found.rm("/c")
    assert [found.exists(path) for path in ("/a", "/b", "/c", "/d")] == [False, True, False, True]
    assert found.open("/b").read() == found.cat_file("/b") == b"aaaa"
    assert found.info("/b")["ETag"] == tagged.info("/b")["ETag"]
    found.pipe_file("/d", b"new")
    assert found.open("/d").read() == b"new"
    assert sorted(path.strip("/") for path in found.find("/")) == ["b", "d"]


WRITES = ["theirs", "theirs in parts", "ours", "a query's", "none"]
"""Whose content stands at a path after a step."""


def write(how: str, uri: str, rows: int) -> None:
    """Put so many rows at `uri`, or nothing."""
    if how == "ours":
        table(uri, *range(rows))
    elif how == "none":
        storage.remove(uri)
    elif how == "a query's":
        known = {"known": Ref(uri, 1, uri)} if storage.exists(uri) else {}
        with warehouse.connect(known) as connection:
            warehouse.write(connection, f"FROM range({rows}) AS numbers(number)", uri, {})
            for name in known:
                assert len(connection.execute(f"FROM {name}").fetchall()) == rows
    else:
        sink = io.BytesIO()
        pq.write_table(numbers(*range(rows)), sink)
        send(uri, sink.getvalue(), plain=how == "theirs")


@examples(10)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(WRITES), st.sampled_from("ab"), st.integers(1, 3)), min_size=2, max_size=5
    ),
    tiny=st.sampled_from([0, 2**20]),
    whole=st.sampled_from([0, 2**20]),
    most=st.sampled_from([700, 2**20]),
)
def test_whoever_wrote_what_stands_there_is_read(
    bucket: str, steps: list[tuple[str, str, int]], tiny: int, whole: int, most: int
) -> None:
    root = f"{bucket}/{uuid.uuid4().hex}"
    snapshot.kept.clear()
    with (
        mock.patch.object(snapshot, "TINY", tiny),
        mock.patch.object(snapshot, "WHOLE", whole),
        mock.patch.object(snapshot, "MOST", most),
    ):
        for how, name, rows in steps:
            write(how, f"{root}/{name}", rows)
            standing = {uri.removeprefix(f"{root}/"): storage.read_bytes(uri) for uri in storage.listing(root)}
            assert standing.keys() >= ({name} if how != "none" else set())
            with tempfile.TemporaryDirectory() as folder:
                storage.fetch(root, folder)
                assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == standing
            for other in {name, *standing}:
                uri = f"{root}/{other}"
                if other not in standing:
                    assert warehouse.standing(uri) is None
                    continue
                with storage.opened(uri) as file:
                    file.seek(4)
                    assert file.read(8) == standing[other][4:12]
                    file.seek(0)
                    assert file.read() == standing[other]
                assert len(read(Ref(uri, 1, uri))) == pq.read_metadata(io.BytesIO(standing[other])).num_rows
