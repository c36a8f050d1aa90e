"""Prefect task: judges label table `responses`; tables `verdicts` and `labels` come out."""

from collections.abc import Sequence

from prefect import task

from flows.running.caching import kept
from flows.running.reports import shown, timed
from tasks.config import Config
from tasks.judging.labels import label_responses
from tasks.tables import Ref, Stage
from tasks.work.job import RunJob


@task(persist_result=False)
@kept("run")
@shown
@timed
def responses_to_labels(config: Config, responses: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Label every distinct answer."""
    return label_responses(config, responses, people, folder, run)
