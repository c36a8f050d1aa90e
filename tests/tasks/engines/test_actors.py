import os
from pathlib import Path

import pyarrow as pa
import pytest
import ray.data
from ray.exceptions import RayError

from tasks.engines.actors import RESTARTS, actor
from tasks.work.job import RunJob


class Dying:
    """An engine that notes each start and dies of its first batch."""

    def __init__(self, starts: str) -> None:
        with Path(starts).open("a") as file:
            file.write(".")

    def __call__(self, batch: pa.Table) -> pa.Table:
        os._exit(1)


def test_an_engine_that_dies_of_a_batch_is_started_a_few_times_and_then_ends_the_job(
    tmp_path: Path, cluster: RunJob
) -> None:
    source = tmp_path / "wanted.parquet"
    ray.data.from_items([{"request_id": "a"}]).to_pandas().to_parquet(source)
    place = {"uri": str(source), "row_group": 0, "start": 0, "rows": 1}
    answering = actor(str(tmp_path / "store"), Dying, starts=str(tmp_path / "starts"))
    with pytest.raises(RayError):
        answering(ray.data.from_items([place])).materialize()
    assert len((tmp_path / "starts").read_text()) == 1 + RESTARTS["max_restarts"]
    assert not list((tmp_path / "store").glob("*.parquet"))
