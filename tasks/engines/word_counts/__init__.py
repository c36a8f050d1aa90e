"""Embeddings made by counting words, for tests and benchmarks, as the configuration names them."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.engines import MOST_ROWS, EngineSection


class WordCounts(EngineSection):
    """Embeddings made by counting hashed words, for tests and benchmarks."""

    IDENTITY: ClassVar = ()
    PLACE: ClassVar = ("block_rows",)

    kind: Literal["word-counts"]
    block_rows: int = Field(256, ge=1, le=MOST_ROWS)

    def identity(self) -> str:
        """There is one."""
        return "word-counts"
