"""The engines: what turns requests into completions, and answers into embeddings, on Ray Data.

In: a Ray Dataset of where blocks of wanted rows stand (`blocks.cut`). Out: a Ray Dataset of what `blocks.commit` says.
An engine is a function from one to the other, so that an engine with a processor of its own fits as an actor does.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from infra import storage
from tasks.config import Model, OpenAI, Scripted, SentenceTransformers, Transformers, Vllm, WordCounts
from tasks.engines.blocks import commit, read
from tasks.errors import ModelError

Answer = Callable[[Dataset], Dataset]
RESTARTS = {"max_restarts": 5, "max_task_retries": -1}
"""How often Ray starts an engine that died again, and asks again for the blocks that it had, before the job fails."""


def answering(model: Model, store: str) -> Answer:
    """The function that has blocks answered by `model` and commits them to `store`, on the connected cluster.

    Modules are imported here, since torch takes seconds and vLLM is not installed everywhere.
    """
    match model:
        case Transformers():
            from tasks.engines.transformers import TransformersEngine  # noqa: PLC0415

            folder = storage.resolve(model.model)
            return actor(store, TransformersEngine, model=folder, dtype=model.dtype, threads=cluster_cpus())
        case Vllm():
            from tasks.engines.vllm import vllm_answering  # noqa: PLC0415

            return vllm_answering(model, store)
        case OpenAI():
            from tasks.engines.openai import EndpointEngine  # noqa: PLC0415

            return actor(store, EndpointEngine, concurrent=model.concurrent_blocks, endpoint=model)
        case Scripted():
            from tasks.engines.scripted import ScriptedEngine  # noqa: PLC0415

            arguments = model.model_dump(include={"seconds_per_row", "garbage_every", "journal", "fault"})
            return actor(store, ScriptedEngine, replicas=model.replicas, **arguments)
        case SentenceTransformers():
            from tasks.engines.sentence_transformers import SentenceEmbedder  # noqa: PLC0415

            return actor(store, SentenceEmbedder, model=storage.resolve(model.model), threads=cluster_cpus())
        case WordCounts():
            from tasks.engines.scripted import WordCounter  # noqa: PLC0415

            return actor(store, WordCounter)


class Committing:
    """A Ray Data actor: an engine that is made once, and whose block is in the store before its next one is begun."""

    def __init__(self, engine: type, store: str, **arguments: object) -> None:
        self.engine = engine(**arguments)
        self.store = store

    def __call__(self, place: pa.Table) -> pa.Table:
        """Read, answer and commit one block."""
        return commit(self.engine(read(place)), self.store)


class CommittingConcurrently(Committing):
    """The same for an engine that answers several blocks at a time."""

    async def __call__(self, place: pa.Table) -> pa.Table:
        """Read, answer and commit one block; others are answered meanwhile."""
        return commit(await self.engine(read(place)), self.store)


def actor(store: str, engine: type, replicas: int = 1, concurrent: int = 1, **arguments: object) -> Answer:
    """Run `engine` as Ray Data actors, each called with a block, or with `concurrent` blocks, at a time."""
    return lambda rows: rows.map_batches(
        Committing if concurrent == 1 else CommittingConcurrently,
        fn_constructor_kwargs={"engine": engine, "store": store, **arguments},
        batch_size=None,
        batch_format="pyarrow",
        ray_remote_args_fn=lambda: RESTARTS,
        compute=ActorPoolStrategy(
            size=replicas, max_concurrent_calls_per_actor=concurrent, max_tasks_in_flight_per_actor=concurrent + 1
        ),
    )


def cluster_cpus() -> int:
    """CPUs of the connected cluster."""
    return int(ray.cluster_resources()["CPU"])


def gpus(model: Model) -> int:
    """GPUs that `model` holds while it runs; an endpoint's are not ours to count."""
    if isinstance(model, Vllm) and model.device == "cuda":
        return model.replicas * model.tensor_parallel * model.pipeline_parallel
    return 0


def model_identity(model: Model) -> str:
    """Name and revision of a model, and what else changes its answers: template, adapter, dtype.

    The revision of a folder is the SHA-256 of its files.

    Raises:
        ModelError: the folder is missing or holds no model; a model on the hub comes without its revision.
    """
    match model:
        case Transformers():
            return f"{checkpoint_identity(model.model)} {model.dtype}"
        case Vllm():
            adapter = f" lora {checkpoint_identity(model.lora, 'adapter_config.json')}" if model.lora else ""
            return f"{vllm_identity(model)} {model.dtype} {model.template}{adapter}"
        case OpenAI():
            return f"{model.model}@{model.revision}"
        case Scripted():
            return f"scripted@{model.garbage_every}"
        case SentenceTransformers():
            return checkpoint_identity(model.model)
        case WordCounts():
            return "word-counts"


def vllm_identity(model: Vllm) -> str:
    """`<name>@<revision>` of a model that vLLM loads from a folder or from the hub."""
    if model.revision:
        return f"{model.model}@{model.revision}"
    if not Path(storage.resolve(model.model)).is_dir():
        raise ModelError(
            f"model {model.model}: no such folder; mend its path, or give a `revision` if it is a model on the hub"
        )
    return checkpoint_identity(model.model)


def checkpoint_folder(model: str, config: str = "config.json") -> Path:
    """The folder of a local model or adapter; raises ModelError where there is none."""
    folder = Path(storage.resolve(model))
    if not (folder / config).is_file():
        raise ModelError(f"model folder {model}: no {config} there; run `make models` or mend its path in the config")
    return folder


@cache
def checkpoint_identity(model: str, config: str = "config.json") -> str:
    """`<folder name>@<first 16 digits of the SHA-256 over its files' names and bytes>`; raises ModelError."""
    folder = checkpoint_folder(model, config)
    content = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content.update(f"{file.relative_to(folder)}\0".encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{folder.name}@{content.hexdigest()[:16]}"
