"""Prefect task: the user's rows become table `prompts`."""

from time import monotonic

from prefect import task

from flows.running.caching import IN_THIS_RUN
from flows.running.reports import report
from tasks.config import Config
from tasks.prompts.prompts import build_prompts
from tasks.tables import Stage


@task(persist_result=True, cache_policy=IN_THIS_RUN)
def sources_to_prompts(config: Config, folder: str) -> Stage:
    """Read, screen and split the prompts."""
    started = monotonic()
    return report(build_prompts(config, folder), started)
