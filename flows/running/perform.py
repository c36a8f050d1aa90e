"""Do the tasks of stages: as Prefect tasks in a run, as plain functions in a plan.

In: a task and the arguments of each of its calls. Out: what the calls give, in order.
"""

import inspect
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

from prefect import Task
from prefect.futures import wait

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


class Perform(Protocol):
    """Does a task once for each list of arguments; how is the business of whoever has the stages wired."""

    def __call__(self, task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
        """What the calls give, in order."""


def perform_in_run(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
    """Run all calls at once; one that fails leaves the others alone, and its error is raised at their end."""
    if len(calls) == 1:
        return [task(*calls[0])]
    assert isinstance(task, Task)  # noqa: S101 (typed as what it calls, so that its arguments are checked)
    futures = [task.submit(*call) for call in calls]
    wait(futures)
    return [future.result() for future in futures]


def perform_in_plan(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
    """Call what the task does and nothing around it: no Prefect server hears of it."""
    plain = inspect.unwrap(task)
    return [plain(*call) for call in calls]
