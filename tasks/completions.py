"""Have requests answered by an engine, once ever.

In: table `requests`. Out: table `completions`. Grain: one row per answered request.
"""

from tasks.config import Engine
from tasks.engines import answering
from tasks.store import Cluster, Work, obtain
from tasks.tables import COMPLETIONS, REQUESTS, Cost, Ref


def complete(name: str, engine: Engine, model: str, requests: Ref, folder: str, cluster: Cluster) -> tuple[Ref, Cost]:
    """Answer `requests` with `engine`, whose model's identity is `model`; `name` tells people what this is.

    Raises:
        ModelError: the engine cannot start or go on.
        StorageError: the folder cannot be written.
    """
    work = Work(
        name=name,
        model=model,
        answer=lambda: answering(engine),
        block_rows=engine.block_rows,
        wanted=REQUESTS,
        kept=COMPLETIONS,
        missing="pending",
    )
    return obtain(work, requests, folder, cluster)
