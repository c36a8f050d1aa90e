"""Prefect task: labelled answers become table `pairs`."""

from prefect import task

from flows.running.caching import kept
from flows.running.reports import shown, timed
from tasks.config import Config
from tasks.judging.pairs import pair_responses
from tasks.tables import Ref, Stage


@task(persist_result=False)
@kept()
@shown
@timed
def labels_to_pairs(config: Config, responses: Ref, labels: Ref, folder: str) -> Stage:
    """Join two answers of one responder to one prompt."""
    return pair_responses(config, responses, labels, folder)
