"""Files of a bucket, as DuckDB and others read them: in few requests, and never as they stood before."""

import hashlib
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from fsspec.implementations.memory import MemoryFileSystem
from s3fs.core import aiobotocore

from infra import snapshot, storage
from infra.snapshot import Info, Snapshot
from tasks import warehouse
from tasks.engines.blocks import put
from tasks.errors import StorageError
from tasks.tables import VERDICTS, Ref
from tests.infra.test_storage import NAMES
from tests.s3_server import counted, operations


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
    with pytest.raises(duckdb.IOException, match="No files found"):
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


def test_a_large_file_is_read_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = table(f"{bucket}/large/a.parquet", *range(100))
    monkeypatch.setattr(snapshot, "WHOLE", 100)
    assert read(ref) == list(range(100))
    assert not snapshot.kept
    with storage.opened(ref.uri) as file:
        assert pq.read_table(file).num_rows == 100


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
