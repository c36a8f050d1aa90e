"""Say when a retry may take what a finished task of its run gave: for the same inputs, made by the same code.

In: a Prefect task. Out: a cache policy. A run that is retried, or resumed, after its code was mended does anew what the code
has to do with, and finds the rest.
"""

from typing import Any

from prefect.cache_policies import INPUTS, RUN_ID, CacheKeyFnPolicy
from prefect.context import TaskRunContext

from tasks.identity import of_function


def code(context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """What identifies the code of a task and of all that it calls, queries included."""
    return of_function(context.task.fn)


IN_THIS_RUN = INPUTS + RUN_ID + CacheKeyFnPolicy(cache_key_fn=code)
