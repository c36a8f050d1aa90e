"""A run in this process: its stages are called as functions, and the scripted engines answer without Ray.

In: a configuration and its storage. Out: the stages of the run, as `flows.pipeline.build` gives them. What is asked of
Prefect, of a cluster, of the gate or of people is asked by the tests of whole runs.
"""

import time

import pyarrow as pa

from flows.pipeline import build
from flows.running.perform import perform_in_plan
from tasks.config import Config
from tasks.engines.actors import Committing
from tasks.engines.blocks import cut
from tasks.engines.scripted import Scripted, ScriptedEngine, WordCounter, WordCounts
from tasks.tables import Cost, Stage
from tasks.work.job import Job, Progress, RunJob, Tell


def engine(job: Job) -> Committing:
    """The actor of the job's model, as an object."""
    match job.model:
        case Scripted() as model:
            values = model.model_dump(include={"seconds_per_row", "garbage_every", "journal", "fault"})
            return Committing(ScriptedEngine, job.store, **values)
        case WordCounts():
            return Committing(WordCounter, job.store)
    raise TypeError(f"{job.name}: {job.model.title} does not answer without Ray")


def answer(job: Job, tell: Tell) -> None:
    """Have all pending rows answered, one block after another."""
    answering, started, rows, cost = engine(job), time.monotonic(), 0, Cost()
    for place in cut(job.pending.uri, job.model.block_rows):
        (block,) = answering(pa.Table.from_pylist([place])).to_pylist()
        rows += block["rows"]
        cost += Cost(input_tokens=block["input_tokens"], output_tokens=block["output_tokens"])
        tell(Progress(rows, cost + Cost(seconds=time.monotonic() - started)))


def refuse(job: Job, tell: Tell) -> None:
    """Where nothing is to be asked."""
    raise AssertionError(f"{job.name} asks {job.pending.rows} rows")


def run_here(config: Config, run: RunJob = answer) -> list[Stage]:
    """All stages up to preferences; the storage is that of the configuration."""
    return build(config, config.storage, run, perform_in_plan)
