"""A run in this process: its stages are called as functions, and its engines answer without Ray.

In: a configuration and its storage. Out: the stages of the run, as `flows.pipeline.build` gives them. What is asked of
Prefect, of a cluster, of the gate or of people is asked by the tests of whole runs.
"""

from flows.pipeline import build
from flows.running.perform import perform_in_plan
from tasks.config import Config
from tasks.tables import Stage
from tasks.work.job import Job, RunJob, Tell
from tests.tasks.work.here import fill_here


def refuse(job: Job, tell: Tell) -> None:
    """Where nothing is to be asked."""
    raise AssertionError(f"{job.name} asks {job.rows} rows")


def run_here(config: Config, run: RunJob = fill_here) -> list[Stage]:
    """All stages up to preferences; the storage is that of the configuration."""
    return build(config, config.storage, run, perform_in_plan)
