"""Read one TOML file into one frozen, checked configuration.

In: a path, and the command line's prompts and storage where given. Out: `Config`. Unknown keys and impossible values
are refused by name. Paths stay as written; `infra.storage.resolve` makes them absolute where they are used.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tasks.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=64)]
"""A folder name in every release: letters, digits, `_`, `-` and single dots."""


class Section(BaseModel):
    """A part of the file: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Transformers(Section):
    """A local checkpoint, answered by `transformers`."""

    kind: Literal["transformers"]
    model: str
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    block_rows: int = Field(32, ge=1)


class Scripted(Section):
    """Canned answers made from the request's seed, for tests and benchmarks."""

    kind: Literal["scripted"]
    block_rows: int = Field(32, ge=1)
    seconds_per_row: float = Field(0.0, ge=0)
    garbage_every: int = Field(0, ge=0)
    journal: str | None = None


class SentenceTransformers(Section):
    """A local sentence-transformers model that embeds answers."""

    kind: Literal["sentence-transformers"]
    model: str
    block_rows: int = Field(256, ge=1)


class ScriptedEmbedder(Section):
    """Embeddings made by counting hashed words, for tests and benchmarks."""

    kind: Literal["scripted"]
    block_rows: int = Field(256, ge=1)


Engine = Annotated[Transformers | Scripted, Field(discriminator="kind")]
Embedder = Annotated[SentenceTransformers | ScriptedEmbedder, Field(discriminator="kind")]


class Prompts(Section):
    """Where the prompts come from and which of them are kept."""

    source: str
    max_chars: int = Field(4000, ge=1)
    test_share: float = Field(0.1, ge=0, lt=1)


class Responder(Section):
    """A model that answers prompts: once at `temperature`, `samples` times at `raised_temperature`."""

    name: Name
    engine: Engine
    system: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    raised_temperature: float = Field(1.0, gt=0, le=2)
    samples: int = Field(3, ge=1)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)


class Diversity(Section):
    """How many answers a prompt and responder keep, and the model that tells how alike they are."""

    embedder: Embedder
    alternatives: int = Field(1, ge=1)


class Judge(Section):
    """A model that labels answers and compares pairs; several votes of one judge differ in their seed."""

    name: Name
    engine: Engine
    label_votes: int = Field(1, ge=1)
    preference_votes: int = Field(1, ge=1)
    attempts: int = Field(2, ge=1)
    temperature: float = Field(0.3, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1)


class Cluster(Section):
    """The Ray cluster that a run starts on this machine."""

    cpus: int = Field(2, ge=1)


class Config(Section):
    """One dataset: what goes in, who answers, who judges, where it goes."""

    name: Name
    storage: str = Field(min_length=1)
    seed: int = 0
    prompts: Prompts
    responders: tuple[Responder, ...] = Field(min_length=1)
    diversity: Diversity
    judges: tuple[Judge, ...] = Field(min_length=1)
    cluster: Cluster = Cluster()

    @model_validator(mode="after")
    def names_are_unique(self) -> Self:
        """A responder's folder and an annotator's votes must belong to one model each."""
        for section in (self.responders, self.judges):
            names = [entry.name.lower() for entry in section]
            if len(names) != len(set(names)):
                raise ValueError(f"two entries share a name: {', '.join(sorted(names))}")
        return self


def load(path: str, prompts: str | None = None, storage: str | None = None) -> Config:
    """Read the TOML file at `path`; `prompts` and `storage` replace its own values.

    Raises:
        ConfigError: the file is missing, is not TOML, has an unknown key or an impossible value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a TOML configuration") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if prompts and isinstance(values.get("prompts", {}), dict):
        values["prompts"] = values.get("prompts", {}) | {"source": prompts}
    if storage:
        values["storage"] = storage
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(describe(detail) for detail in error.errors())
        raise ConfigError(f"{path}: {problems}") from None


def describe(detail: ErrorDetails) -> str:
    """`responders[0].samples: Input should be greater than or equal to 1 (is 0)`."""
    kinds = ("transformers", "scripted", "sentence-transformers")
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"] if part not in kinds]
    where = "".join(parts).lstrip(".") or "file"
    value = "" if isinstance(detail["input"], dict) else f" (is {detail['input']!r})"
    message = "unknown key; remove it or mend its spelling" if detail["type"] == "extra_forbidden" else detail["msg"]
    return f"{where}: {message}{value}"
