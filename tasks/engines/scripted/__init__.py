"""Canned answers for tests and benchmarks, as the configuration names them."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.engines import EngineSection
from tasks.section import Words


class Scripted(EngineSection):
    """Canned answers made from the request's seed, for tests and benchmarks."""

    IDENTITY: ClassVar = ("garbage_every",)
    PLACE: ClassVar = ("replicas", "block_rows", "seconds_per_row", "journal", "fault")

    kind: Literal["scripted"]
    replicas: int = Field(1, ge=1, le=1_000)
    seconds_per_row: float = Field(0.0, ge=0, le=60)
    garbage_every: int = Field(0, ge=0, le=1_000_000_000)
    journal: Words | None = None
    fault: Words | None = None

    @property
    def workers(self) -> int:
        """One a replica."""
        return self.replicas

    def identity(self) -> str:
        """How often it answers garbage."""
        return f"scripted@{self.garbage_every}"
