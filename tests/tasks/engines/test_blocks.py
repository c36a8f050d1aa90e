"""A block is read as what it is, whatever stands in its file."""

import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.data._internal.object_extensions.arrow import ArrowPythonObjectType

from tasks.engines import blocks
from tasks.errors import StorageError


class Runs:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_among_the_rows_that_are_wanted_is_never_unpickled(tmp_path: Path, nested: bool) -> None:
    pickled = pa.array([pickle.dumps(Runs(tmp_path / "ran"))], pa.large_binary())
    column = pa.ExtensionArray.from_storage(ArrowPythonObjectType(), pickled)
    uri = str(tmp_path / "requests.parquet")
    pq.write_table(pa.table({"user": pa.ListArray.from_arrays([0, 1], column) if nested else column}), uri)
    with pytest.raises(StorageError, match="column `user` was changed; run again"):
        blocks.read(pa.Table.from_pylist(blocks.cut(uri, 1))).to_pylist()
    assert not (tmp_path / "ran").exists()
