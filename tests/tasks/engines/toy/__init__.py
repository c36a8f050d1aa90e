"""A new engine as somebody would add it: one folder, and one entry, which the tests of all engines make."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.engines import EngineSection
from tasks.errors import ModelError


class Toy(EngineSection):
    """Says one word to everything."""

    IDENTITY: ClassVar = ("word",)
    PLACE: ClassVar = ("block_rows", "machines")

    kind: Literal["toy"]
    word: str
    machines: int = Field(1, ge=1)

    @property
    def gpus(self) -> int:
        return 2 * self.machines

    @property
    def workers(self) -> int:
        return self.machines

    def identity(self) -> str:
        return f"toy@{self.word}"

    def check(self, runs_here: bool) -> None:
        if runs_here and not self.word:
            raise ModelError("toy: no word; give one as `word`")
