"""A job of another kind, as somebody would add it: a module with a class that is a `Job`, which it runs as a program."""

import sys

from pydantic import BaseModel

from tasks.errors import ModelError
from tasks.tables import Cost
from tasks.work.job import Progress, Tell, main


class Training(BaseModel, frozen=True):
    """Sees so many examples, or finds that its model is not there."""

    id: str
    name: str
    rows: int
    gpus: int
    workers: int

    def run(self, tell: Tell) -> None:
        for seen in range(1, self.rows + 1):
            tell(Progress(seen, Cost(gpu_seconds=self.gpus * seen)))
        if not self.rows:
            raise ModelError(f"{self.name}: nothing to see")


if __name__ == "__main__":
    main(Training.model_validate_json, sys.argv[1])
