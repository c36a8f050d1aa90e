"""Prefect task: judges label table `responses`; tables `verdicts` and `labels` come out."""

from time import monotonic

from prefect import task

from flows.reports import report
from infra.ray_cluster import ray_cluster
from tasks.config import Config
from tasks.labels import label_responses
from tasks.tables import Ref, Stage


@task(persist_result=True)
def responses_to_labels(config: Config, responses: Ref, folder: str) -> Stage:
    """Label every distinct answer."""
    started = monotonic()
    with ray_cluster(config.cluster.cpus) as cluster:
        return report(label_responses(config, responses, folder, cluster), started)
