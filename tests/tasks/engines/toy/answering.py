import pyarrow as pa

from tasks.engines import Answer
from tasks.engines.actors import actor
from tasks.tables import COMPLETIONS
from tests.tasks.engines.toy import Toy


def answering(toy: Toy, store: str) -> Answer:
    return actor(store, Sayer, word=toy.word)


class Sayer:
    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self.word == "stop":
            raise RuntimeError("told to stop")
        said = {"error": "refused: rudely"} if self.word == "refuse" else {"completion": self.word}
        rows = [{"request_id": request_id} | said for request_id in batch["request_id"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=COMPLETIONS.schema)
