from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.release.candidate import Candidate, describe_files
from tasks.release.changes import OUTCOME, holds_the_same

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "says": [{"yes": True}, {"yes": False}, None]})
PATH = "dual/a/train.parquet"


def written(folder: Path, rows: pa.Table, **options: Any) -> tuple[Candidate, dict[str, Any]]:
    """A candidate of one file, and the manifest of a release of it."""
    (folder / PATH).parent.mkdir(parents=True)
    (folder / "gate").mkdir()
    (folder / OUTCOME).write_text("{}")
    pq.write_table(rows, folder / PATH, **options)
    files = tuple(file for file in describe_files(str(folder)) if file["path"] == PATH)
    return Candidate("1", str(folder), files, ""), {"version": "1", "files": list(describe_files(str(folder)))}


@pytest.mark.parametrize(
    "other",
    [
        ROWS.cast(pa.schema([("id", pa.int8()), ROWS.schema.field("says")])),
        ROWS.rename_columns(["key", "says"]),
        ROWS.set_column(1, "says", pa.array([{"no": True}, {"no": False}, None])),
        ROWS.take([2, 1, 0]),
        ROWS.slice(0, 2),
        ROWS.set_column(1, "says", pa.array([{"yes": True}, {"yes": False}, {"yes": None}])),
    ],
    ids=["type", "name", "name inside", "order", "rows", "null inside"],
)
def test_a_file_that_differs_in_anything_that_a_reader_sees_is_another_one(tmp_path: Path, other: pa.Table) -> None:
    candidate, _ = written(tmp_path / "candidate", other)
    _, latest = written(tmp_path / "release", ROWS)
    assert not holds_the_same(candidate, latest, str(tmp_path / "release"))


def test_a_file_that_was_written_otherwise_and_says_the_same_is_the_same(tmp_path: Path) -> None:
    candidate, _ = written(tmp_path / "candidate", ROWS, row_group_size=1, compression="none")
    _, latest = written(tmp_path / "release", ROWS)
    assert holds_the_same(candidate, latest, str(tmp_path / "release"))


def test_a_release_with_a_file_that_broke_equals_none(tmp_path: Path) -> None:
    candidate, _ = written(tmp_path / "candidate", ROWS, row_group_size=1)
    _, latest = written(tmp_path / "release", ROWS)
    file = tmp_path / "release" / PATH
    for content in (file.read_bytes()[:-9], b""):
        file.write_bytes(content)
        assert not holds_the_same(candidate, latest, str(tmp_path / "release"))
    file.unlink()
    assert not holds_the_same(candidate, latest, str(tmp_path / "release"))
