"""Run an engine as Ray Data actors.

In: a class whose instances answer a block, and how many of them there are. Out: the function that has blocks answered and
commits each of them. Grain: one row per block.
"""

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from tasks.engines import Answer
from tasks.engines.blocks import commit, read

RESTARTS = {"max_restarts": 5, "max_task_retries": -1}
"""How often Ray starts an engine that died again, and asks again for the blocks that it had, before the job fails."""


class Committing:
    """A Ray Data actor: an engine that is made once, and whose block is in the store before its next one is begun."""

    def __init__(self, engine: type, store: str, **arguments: object) -> None:
        self.engine = engine(**arguments)
        self.store = store

    def __call__(self, place: pa.Table) -> pa.Table:
        """Read, answer and commit one block."""
        asked = read(place)
        return commit(self.engine(asked), self.store, asked)


class CommittingConcurrently(Committing):
    """The same for an engine that answers several blocks at a time."""

    async def __call__(self, place: pa.Table) -> pa.Table:
        """Read, answer and commit one block; others are answered meanwhile."""
        asked = read(place)
        return commit(await self.engine(asked), self.store, asked)


def actor(store: str, engine: type, replicas: int = 1, concurrent: int = 1, **arguments: object) -> Answer:
    """Run `engine` as Ray Data actors, each called with a block, or with `concurrent` blocks, at a time."""
    return lambda rows: rows.map_batches(
        Committing if concurrent == 1 else CommittingConcurrently,
        fn_constructor_kwargs={"engine": engine, "store": store, **arguments},
        batch_size=None,
        batch_format="pyarrow",
        ray_remote_args_fn=lambda: RESTARTS,
        compute=ActorPoolStrategy(
            size=replicas, max_concurrent_calls_per_actor=concurrent, max_tasks_in_flight_per_actor=concurrent + 1
        ),
    )


def cluster_cpus() -> int:
    """CPUs of the connected cluster."""
    return int(ray.cluster_resources()["CPU"])
