"""Do the tasks of stages: as Prefect tasks in a run, as plain functions in a plan.

In: a task and the arguments of each of its calls. Out: what the calls give, in order.
"""

import inspect
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, cast

from prefect import Task
from prefect.futures import wait

from tasks import warehouse
from tasks.tables import Ref, Stage

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


class Perform(Protocol):
    """Does a task once for each list of arguments; how is the business of whoever has the stages wired."""

    def __call__(self, task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
        """What the calls give, in order."""


def perform_in_run(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
    """Run all calls at once; one that fails leaves the others alone, and its error is raised at their end.

    What a retry finds done is done again where its tables were deleted, or broke, since.
    """
    made = [task(*calls[0])] if len(calls) == 1 else at_once(task, *calls)
    return [given if stands(given) else afresh(task)(*call) for given, call in zip(made, calls, strict=True)]


def at_once(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
    """Submit all calls and wait for the last one."""
    assert isinstance(task, Task)  # noqa: S101 (typed as what it calls, so that its arguments are checked)
    futures = [task.submit(*call) for call in calls]
    wait(futures)
    return [future.result() for future in futures]


def afresh(task: Callable[[*Given], Made]) -> Callable[[*Given], Made]:
    """The same task, which runs whatever was done before."""
    assert isinstance(task, Task)  # noqa: S101 (as above)
    return cast("Callable[[*Given], Made]", task.with_options(refresh_cache=True))


def stands(made: object) -> bool:
    """Whether all tables that a task gave can be read; one that cannot is set aside."""
    match made:
        case Ref(uri=uri):
            return warehouse.standing(uri) is not None
        case Stage(tables=tables, dropped=dropped):
            return all(map(stands, (*tables.values(), dropped)))
        case tuple():
            return all(map(stands, made))
    return True


def perform_in_plan(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
    """Call what the task does and nothing around it: no Prefect server hears of it."""
    plain = inspect.unwrap(task)
    return [plain(*call) for call in calls]
