"""Prefect task: the user's rows become table `prompts`."""

from prefect import task

from flows.running.caching import kept
from flows.running.reports import shown, timed
from tasks.config import Config
from tasks.prompts.prompts import build_prompts
from tasks.tables import Stage


@task(persist_result=False)
@kept()
@shown
@timed
def sources_to_prompts(config: Config, folder: str) -> Stage:
    """Read, screen and split the prompts."""
    return build_prompts(config, folder)
