"""Prefect task: judges label table `responses`; tables `verdicts` and `labels` come out."""

from functools import partial
from time import monotonic

from prefect import task

from flows.reports import report
from infra.ray_cluster import connect
from tasks.config import Config
from tasks.labels import label_responses
from tasks.tables import Ref, Stage


@task(persist_result=True)
def responses_to_labels(config: Config, responses: Ref, folder: str) -> Stage:
    """Label every distinct answer."""
    started = monotonic()
    return report(label_responses(config, responses, folder, partial(connect, config.cluster.cpus)), started)
