"""A job in this process: its engine is an object here and answers one block after another, without Ray.

In: a job and who hears how far it is. Out: blocks in the store, as from a cluster; what an engine raises comes as it is.
"""

import asyncio
import inspect
from collections.abc import Generator, Iterator
from typing import Any, Self

import pyarrow as pa
import pytest

from tasks.work import answering
from tasks.work.answering import Answering
from tasks.work.job import Job, Tell


class Places:
    """Where blocks stand, with as much of a dataset of Ray Data as engines make use of."""

    def __init__(self, places: list[dict[str, str | int]]) -> None:
        self.places = places

    def map_batches(self, actor: type, fn_constructor_kwargs: dict[str, Any], **_: object) -> Self:
        self.actor = actor(**fn_constructor_kwargs)
        return self

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        with asyncio.Runner() as runner:
            for place in self.places:
                answered = self.actor(pa.Table.from_pylist([place]))
                block: pa.Table = runner.run(answered) if inspect.iscoroutine(answered) else answered
                yield from block.to_pylist()


def blocks(job: Answering) -> Generator[dict[str, Any]]:
    wanted: Any = Places(answering.places(job))
    yield from job.model.answering(job.store)(wanted).iter_rows()


def fill_here(job: Job, tell: Tell) -> None:
    """What a cluster does, with the engine in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "blocks", blocks)
        job.run(tell)
