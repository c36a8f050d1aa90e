"""Prefect task: judges compare table `pairs`; tables `verdicts` and `preferences` come out."""

from collections.abc import Sequence

from prefect import task

from flows.running.caching import kept
from flows.running.reports import shown, timed
from tasks.config import Config
from tasks.judging.preferences import prefer
from tasks.tables import Ref, Stage
from tasks.work.job import RunJob


@task(persist_result=False)
@kept("run")
@shown
@timed
def pairs_to_preferences(config: Config, pairs: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Settle helpfulness, harmlessness and the overall choice of every pair."""
    return prefer(config, pairs, people, folder, run)
