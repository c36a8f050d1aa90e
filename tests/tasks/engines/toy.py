"""A new engine as somebody would add it: one module, and one entry, which the tests of all engines make."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from tasks.engines import Answer, EngineSection
from tasks.errors import ModelError
from tasks.tables import COMPLETIONS


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

    def answering(self, store: str) -> Answer:
        from tasks.engines.actors import actor  # noqa: PLC0415

        return actor(store, Sayer, word=self.word)


class Sayer:
    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self.word == "stop":
            raise RuntimeError("told to stop")
        said = {"error": "refused: rudely"} if self.word == "refuse" else {"completion": self.word}
        rows = [{"request_id": request_id} | said for request_id in batch["request_id"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=COMPLETIONS.schema)
