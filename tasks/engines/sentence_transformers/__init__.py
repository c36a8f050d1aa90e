"""A local sentence-transformers model that embeds answers, as the configuration names it."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.engines import MOST_ROWS, EngineSection
from tasks.engines.checkpoints import checkpoint_identity
from tasks.section import Words


class SentenceTransformers(EngineSection):
    """A local sentence-transformers model that embeds answers."""

    IDENTITY: ClassVar = ("model",)
    PLACE: ClassVar = ("block_rows",)

    kind: Literal["sentence-transformers"]
    model: Words
    block_rows: int = Field(256, ge=1, le=MOST_ROWS)

    def identity(self) -> str:
        """The SHA-256 of what is loaded of the folder."""
        return checkpoint_identity(self.model)
