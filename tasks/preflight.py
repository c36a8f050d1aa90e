"""Look at everything that a run needs before it costs anything.

In: a configuration. Out: nothing, or the first fault as an error of one line.
"""

import os
from importlib.util import find_spec

from infra import storage
from tasks import warehouse
from tasks.config import Config, Local, Model, OpenAI, SentenceTransformers, Transformers, Vllm
from tasks.engines import checkpoint_folder, model_identity
from tasks.errors import ModelError, StorageError
from tasks.judging.rubric import rubrics
from tasks.prompts.sources import parse


def check_model(model: Model, runs_here: bool) -> None:
    """Find what `model` needs on this machine: its files, and where it `runs_here` vLLM or the endpoint's key."""
    match model:
        case Transformers() | SentenceTransformers():
            checkpoint_folder(model.model)
        case Vllm():
            model_identity(model)
            if runs_here and find_spec("vllm") is None:
                raise ModelError(f"model {model.model}: vLLM is not installed here; run `make install-vllm`")
        case OpenAI():
            if runs_here and not os.environ.get(model.key_variable):
                raise ModelError(
                    f"model {model.model}: no key for {model.base_url}; put it into the environment variable "
                    f"{model.key_variable}, or name another one as `key_variable`"
                )


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
        check_model(model, isinstance(config.cluster, Local))
    for judge in config.judges:
        rubrics(judge.rubrics)
    parse(config.prompts.source)
    try:
        storage.probe(storage.resolve(config.storage))
    except (*storage.FAULTS, ValueError, ImportError) as error:
        raise StorageError(
            f"storage {config.storage}: cannot be written: {warehouse.reason(error)}; mend it or set another `storage`"
        ) from None
