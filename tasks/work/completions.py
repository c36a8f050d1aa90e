"""Have requests answered by an engine, once ever.

In: table `requests`. Out: table `completions`. Grain: one row per answered request.
"""

from tasks.config import Engine
from tasks.tables import COMPLETIONS, REQUESTS, Cost, Ref
from tasks.work.job import RunJob
from tasks.work.store import Work, obtain


def complete(name: str, engine: Engine, identity: str, requests: Ref, folder: str, run: RunJob) -> tuple[Ref, Cost]:
    """Answer `requests` with `engine`, whose model's identity is `identity`; `name` tells people what this is.

    Raises:
        ModelError: the engine cannot start or go on.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    work = Work(name, identity, engine, wanted=REQUESTS, kept=COMPLETIONS)
    return obtain(work, requests, folder, run)
