"""Look at everything that a run needs before it costs anything.

In: a configuration. Out: nothing, or the first fault as an error of one line.
"""

import glob
import os
from contextlib import suppress

from infra import storage
from tasks import warehouse
from tasks.config import Config, Local
from tasks.errors import StorageError
from tasks.judging.rubric import rubrics
from tasks.prompts.sources import parse

ROOMS = ("releases", "candidates", "tables", "people", "review", "claims", "jobs")
"""The folders of a storage."""
SIGNS = ("releases/latest.json", "tables/completions")
"""What stands in a storage, one or both, as soon as a run has been at work there."""


def check(config: Config) -> None:
    """Find the models, read the prompts, and write to the storage.

    Raises:
        ConfigError: there is no rubric of a name.
        ModelError: a model folder, vLLM or an endpoint's key is missing.
        SourceError: the prompts file is missing, empty, or has no column `prompt`.
        StorageError: the storage cannot be written, or lies inside another one.
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
    if "://" not in root:
        check_surroundings(root)  # before a folder is made there
    try:
        storage.probe(root)
    except (*storage.FAULTS, ValueError, ImportError) as error:
        raise StorageError(
            f"storage {config.storage}: cannot be written: {warehouse.reason(error)}; mend it or set another `storage`"
        ) from None
    if "://" in root:
        check_surroundings(root)  # a bucket that cannot be reached was told at once
    check_lock(storage.join(root, ".lock"))


def check_surroundings(root: str) -> None:
    """Raise StorageError if the storage lies inside another one, which would take what is written there for its own."""
    if outer := surrounding(root):
        raise StorageError(f"storage {root}: lies inside the storage {outer}; set one that stands beside it")


def surrounding(root: str) -> str | None:
    """The storage that has `root` in one of its folders, if there is one; one that may not be read is not looked at."""
    parts = root.split("/") if "://" in root else os.path.realpath(root).split("/")
    first = 3 if "://" in root else 1  # behind the bucket's name
    for at in (at for at, part in enumerate(parts) if part in ROOMS and at >= first):
        outer = "/".join(parts[:at]) or "/"
        with suppress(*storage.FAULTS):
            if any(storage.exists(storage.join(outer, sign)) for sign in SIGNS):
                return outer
    return None


def check_lock(file: str) -> None:
    """Raise StorageError if something stands where a run locks a folder that is no file, or may not be written."""
    try:
        if os.path.exists(file):
            open(file, "a").close()
    except OSError as error:
        raise StorageError(f"{file}: cannot be opened: {error.strerror}; delete it and run again") from None
