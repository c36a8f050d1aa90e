"""Prefect task: the answers and pairs that people should look at become a review project."""

from collections.abc import Sequence

from prefect import task

from flows.running.caching import kept
from flows.running.review import push
from tasks.config import Config
from tasks.people.review import Project, make_project
from tasks.people.routing import queue
from tasks.tables import Stage, tables_by_name


@task(persist_result=False)
@kept()
def preferences_to_review(config: Config, stages: Sequence[Stage], root: str, folder: str) -> Project | None:
    """Choose within the budget, write the project, hand it to the server if there is one."""
    if config.review is None:
        return None
    tables = tables_by_name(stages)
    chosen = queue(config, config.review, tables, folder)
    project = make_project(config.review, chosen, tables, root)
    push(config, root, project)
    return project
