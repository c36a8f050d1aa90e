"""Prefect task: what people said so far becomes verdicts on the answers or pairs of this run."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.running.reports import shown
from tasks.people.people import What, people_verdicts
from tasks.tables import Ref, Stage


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="people_to_{what}")
@shown
def people_to_verdicts(what: What, subjects: Ref, root: str, folder: str) -> Stage:
    """Read all exports, in each execution of a run anew: people go on while it waits.

    The stage is without its seconds: where nobody said anything new, what comes after it is found again.
    """
    return people_verdicts(what, subjects, root, folder)
