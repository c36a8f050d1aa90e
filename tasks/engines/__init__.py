"""The engines: what turns requests into completions on Ray Data.

In: a Ray Dataset of `tables.REQUESTS` rows in blocks. Out: a Ray Dataset of `tables.COMPLETIONS` rows, block for block.
An engine is a function from one to the other, so that an engine with a processor of its own fits as an actor does.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import ray
from ray.data import ActorPoolStrategy, Dataset

from infra import storage
from tasks.config import Embedder, Engine, Scripted, ScriptedEmbedder, SentenceTransformers, Transformers
from tasks.errors import ModelError

Answer = Callable[[Dataset], Dataset]


def answering(engine: Engine) -> Answer:
    """The function that answers blocks of requests with `engine`, on the cluster that is connected."""
    match engine:
        case Transformers():
            from tasks.engines.transformers import TransformersEngine  # noqa: PLC0415 (torch takes seconds to import)

            model = storage.resolve(engine.model)
            return actor(TransformersEngine, model=model, dtype=engine.dtype, threads=cluster_cpus())
        case Scripted():
            from tasks.engines.scripted import ScriptedEngine  # noqa: PLC0415 (one import rule for all engines)

            return actor(ScriptedEngine, **engine.model_dump(exclude={"kind", "block_rows"}))


def embedding(embedder: Embedder) -> Answer:
    """The function that embeds blocks of answers with `embedder`, on the cluster that is connected."""
    match embedder:
        case SentenceTransformers():
            from tasks.engines.sentence_transformers import SentenceEmbedder  # noqa: PLC0415 (torch takes seconds to import)

            return actor(SentenceEmbedder, model=storage.resolve(embedder.model), threads=cluster_cpus())
        case ScriptedEmbedder():
            from tasks.engines.scripted import WordCounter  # noqa: PLC0415 (one import rule for all engines)

            return actor(WordCounter)


def actor(engine: type, **arguments: object) -> Answer:
    """Run `engine` as one Ray Data actor that is made once and called with a block at a time."""
    return lambda rows: rows.map_batches(
        engine,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=1),
    )


def cluster_cpus() -> int:
    """CPUs of the connected cluster."""
    return int(ray.cluster_resources()["CPU"])


def model_identity(engine: Engine | Embedder) -> str:
    """Name and revision of the engine's model: of a folder, its name, the SHA-256 of its files, and the dtype.

    Raises:
        ModelError: the folder is missing or holds no model.
    """
    match engine:
        case Transformers():
            return f"{checkpoint_identity(engine.model)} {engine.dtype}"
        case SentenceTransformers():
            return checkpoint_identity(engine.model)
        case Scripted():
            return f"scripted@{engine.garbage_every}"
        case ScriptedEmbedder():
            return "scripted"


def checkpoint_folder(model: str) -> Path:
    """The folder of a local model; raises ModelError where there is none."""
    folder = Path(storage.resolve(model))
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"model folder {model}: no config.json there; run `make models` or mend its path in the config"
        )
    return folder


@cache
def checkpoint_identity(model: str) -> str:
    """`<folder name>@<first 16 digits of the SHA-256 over its files' names and bytes>`; raises ModelError."""
    folder = checkpoint_folder(model)
    content = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content.update(f"{file.relative_to(folder)}\0".encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{folder.name}@{content.hexdigest()[:16]}"
