"""Look at everything that a run needs before it costs anything.

In: a configuration. Out: nothing, or the first fault as an error of one line.
"""

import glob
import os

from infra import storage
from tasks import warehouse
from tasks.config import Config, Local
from tasks.errors import StorageError
from tasks.judging.rubric import rubrics
from tasks.prompts.sources import parse


def check(config: Config) -> None:
    """Find the models, read the prompts, and write to the storage.

    Raises:
        ConfigError: there is no rubric of a name.
        ModelError: a model folder, vLLM or an endpoint's key is missing.
        SourceError: the prompts file is missing, empty, or has no column `prompt`.
        StorageError: the storage cannot be written.
    """
    responders = (responder.engine for responder in config.responders)
    judges = (judge.engine for judge in config.judges)
    for model in (config.diversity.embedder, *responders, *judges):
        model.check(runs_here=isinstance(config.cluster, Local))
    for judge in config.judges:
        rubrics(judge.rubrics)
    parse(config.prompts.source)
    root = storage.resolve(config.storage)
    if "\\" in root and glob.escape(root) != root:
        raise StorageError(
            f"storage {config.storage}: DuckDB cannot tell `\\` from `[`, `*` and `?` in one path; rename it"
        )
    try:
        storage.probe(root)
    except (*storage.FAULTS, ValueError, ImportError) as error:
        raise StorageError(
            f"storage {config.storage}: cannot be written: {warehouse.reason(error)}; mend it or set another `storage`"
        ) from None
    check_lock(storage.join(root, ".lock"))


def check_lock(file: str) -> None:
    """Raise StorageError if something stands where a run locks a folder that is no file, or may not be written."""
    try:
        if os.path.exists(file):
            open(file, "a").close()
    except OSError as error:
        raise StorageError(f"{file}: cannot be opened: {error.strerror}; delete it and run again") from None
