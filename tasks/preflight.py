"""Look at everything that a run needs before it costs anything.

In: a configuration. Out: nothing, or the first fault as an error of one line.
"""

from infra import storage
from tasks import warehouse
from tasks.config import Config, SentenceTransformers, Transformers
from tasks.engines import checkpoint_folder
from tasks.errors import StorageError
from tasks.sources import read_rows


def check(config: Config) -> None:
    """Find the models, read the prompts, and write to the storage.

    Raises:
        ModelError: a model folder is missing.
        SourceError: the prompts file is missing, empty, or has no column `prompt`.
        StorageError: the storage cannot be written.
    """
    responders = (responder.engine for responder in config.responders)
    judges = (judge.engine for judge in config.judges)
    for engine in (config.diversity.embedder, *responders, *judges):
        if isinstance(engine, Transformers | SentenceTransformers):
            checkpoint_folder(engine.model)
    for _ in read_rows(config.prompts.source):
        pass
    probe = storage.join(storage.resolve(config.storage), "probe")
    try:
        storage.write_bytes(probe, b"")
        storage.remove(probe)
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(
            f"storage {config.storage}: cannot be written: {warehouse.reason(error)}; mend it or set another `storage`"
        ) from None
