"""Wait for people: a run of a deployment is suspended, holds nothing meanwhile, and starts from the top when resumed.

In: a key that names what is waited for, the same in each execution of the run, and for how long. Out: nothing; the run
goes on behind the call once it was resumed. A run that nobody resumes in time is failed by the Prefect server, which has
no process of ours to log it, so that its last line says beforehand what happens then.
"""

from datetime import UTC, datetime, timedelta

from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput, create_flow_run_input, read_flow_run_input
from prefect.logging import get_run_logger
from prefect.runtime import deployment

from tasks.config import Config
from tasks.people.review import Project

WAITED = "waited-for-people"


def wait_for_people(config: Config, project: Project | None) -> None:
    """Suspend until people are done with `project`, unless it is empty; a run from the command line does not wait.

    A run waits once, whatever it hands out after that. One that fails later and is retried does not wait again.
    """
    if config.review is None or config.review.wait_hours is None or not can_wait():
        return
    if project is None or not project.answers + project.pairs or read_flow_run_input(WAITED):
        return
    suspend("people", config.review.wait_hours, "people's answers")
    create_flow_run_input(WAITED, value=True)


def can_wait() -> bool:
    """Whether this is a run of a deployment; Prefect can start no other one again."""
    return deployment.id is not None


def fired(key: str) -> bool:
    """Whether this run was suspended under `key` and resumed, and not retried as a whole since."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    return key in (context.flow_run.empirical_policy.pause_keys or ())


def suspend(key: str, hours: float, what: str, form: type[RunInput] | None = None) -> None:
    """Leave the run until somebody resumes it, with `form` where one is given; returns at once if somebody has."""
    if not fired(key):
        until = datetime.now(UTC) + timedelta(hours=hours)
        get_run_logger().info(
            "waiting for %s: resume this run before %s; else it fails and nothing is published", what, when(until)
        )
    suspend_flow_run(wait_for_input=form, timeout=max(1, round(hours * 3600)), key=key)


def when(time: datetime) -> str:
    """A time for people."""
    return f"{time:%Y-%m-%d %H:%M} UTC"
