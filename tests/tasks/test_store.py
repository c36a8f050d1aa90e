from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from tasks import warehouse
from tasks.engines import actor
from tasks.errors import ModelError, StorageError
from tasks.store import Cluster, Work, obtain, put
from tasks.tables import COMPLETIONS, REQUESTS, Ref
from tests.tasks.rows import make


class Engine:
    """Answers every request; request `bad` becomes an error row while the file `broken` is there."""

    def __init__(self, folder: str, fails: bool) -> None:
        self.folder = Path(folder)
        if fails:
            raise RuntimeError("no such weights")

    def __call__(self, batch: pa.Table) -> pa.Table:
        ids = batch["request_id"].to_pylist()
        with (self.folder / "journal").open("a") as journal:
            journal.write("".join(f"{request_id}\n" for request_id in ids))
        broken = (self.folder / "broken").exists()
        rows = [
            {"request_id": request_id, "completion": "yes", "output_tokens": 2, "input_tokens": 1}
            | ({"error": "timeout"} if broken and request_id == "bad" else {})
            for request_id in ids
        ]
        return make(COMPLETIONS, rows)


def requests(folder: Path, *ids: str) -> Ref:
    uri = folder / f"{len(ids)}.parquet"
    pq.write_table(make(REQUESTS, [{"request_id": request_id, "user": "?"} for request_id in ids]), uri)
    return Ref(str(uri), len(ids), warehouse.digest(ids))


def work(folder: Path, fails: bool = False) -> Work:
    return Work(
        name="answers",
        model="m@1",
        answer=lambda: actor(Engine, folder=str(folder), fails=fails),
        block_rows=2,
        wanted=REQUESTS,
        kept=COMPLETIONS,
        missing="pending",
    )


def journal(folder: Path) -> list[str]:
    return (folder / "journal").read_text().split()


def test_only_what_the_store_lacks_is_asked(tmp_path: Path, cluster: Cluster) -> None:
    tables = str(tmp_path / "tables")
    _, first = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c"), tables, cluster)
    _, second = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d", "e"), tables, cluster)
    found, third = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d", "e"), tables, cluster)
    assert [(cost.asked, cost.found) for cost in (first, second, third)] == [(3, 0), (2, 3), (0, 5)]
    assert sorted(journal(tmp_path)) == ["a", "b", "c", "d", "e"]
    assert (first.input_tokens, first.output_tokens) == (3, 6)
    assert found.rows == 5


def test_a_request_that_ended_in_an_error_is_asked_again(tmp_path: Path, cluster: Cluster) -> None:
    (tmp_path / "broken").touch()
    tables = str(tmp_path / "tables")
    found, _ = obtain(work(tmp_path), requests(tmp_path, "good", "bad"), tables, cluster)
    assert found.rows == 1
    (tmp_path / "broken").unlink()
    again, cost = obtain(work(tmp_path), requests(tmp_path, "good", "bad"), tables, cluster)
    assert (again.rows, cost.asked) == (2, 1)
    assert again.fingerprint != found.fingerprint
    assert journal(tmp_path).count("good") == 1


def test_an_engine_that_cannot_start_is_named_with_its_last_words(tmp_path: Path, cluster: Cluster) -> None:
    with pytest.raises(ModelError, match=r"answers: the engine stopped: .*no such weights"):
        obtain(work(tmp_path, fails=True), requests(tmp_path, "a"), str(tmp_path / "tables"), cluster)


def test_a_block_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(tmp_path / "store" / "block.parquet")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left on device"):
        put(COMPLETIONS.schema.empty_table(), uri)
    assert storage.listing(str(tmp_path / "store")) == []


def test_every_block_is_a_file_of_its_own(tmp_path: Path, cluster: Cluster) -> None:
    found, _ = obtain(work(tmp_path), requests(tmp_path, *(f"r{i}" for i in range(10))), str(tmp_path), cluster)
    sizes = [pq.read_metadata(block).num_rows for block in storage.listing(found.uri.rsplit("/", 1)[0], ".parquet")]
    assert sorted(sizes) == [0, 2, 2, 2, 2, 2]
