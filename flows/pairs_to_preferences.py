"""Prefect task: judges compare table `pairs`; tables `verdicts` and `preferences` come out."""

from functools import partial
from time import monotonic

from prefect import task

from flows.reports import report
from infra.ray_cluster import connect
from tasks.config import Config
from tasks.preferences import prefer
from tasks.tables import Ref, Stage


@task(persist_result=True)
def pairs_to_preferences(config: Config, pairs: Ref, folder: str) -> Stage:
    """Settle helpfulness, harmlessness and the overall choice of every pair."""
    started = monotonic()
    return report(prefer(config, pairs, folder, partial(connect, config.cluster.cpus)), started)
