from collections.abc import Iterator

import pytest

from infra import ray_cluster
from tasks.work.job import RunJob, fill


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunJob]:
    with ray_cluster.ray_cluster():
        ray_cluster.connect(2)
        yield fill
