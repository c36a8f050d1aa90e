"""What a Ray cluster runs for us: a job, which is data.

In: a `Job` of any kind, and who hears how far it is. Out: what the job itself keeps, where it says. On a cluster of its own it
runs as `python -m MODULE URI`, MODULE being that of its kind and URI where it stands as JSON, in a file that is named after its
digest; then it says how far it is in lines of JSON. Of a kind nobody knows more here: answering rows (`tasks.work.answering`) is one, training would be another.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Protocol

from pydantic import TypeAdapter

from infra import ray_cluster, storage
from tasks import warehouse
from tasks.errors import ModelError, SafePairsError, StorageError
from tasks.tables import Cost

FAULTS: dict[str, type[SafePairsError]] = {"ModelError": ModelError, "StorageError": StorageError}


@dataclass(frozen=True)
class Progress:
    """How many rows of a job are done so far, and what they cost."""

    rows: int
    cost: Cost


PROGRESS = TypeAdapter(Progress)
Tell = Callable[[Progress], None]
"""Hears how far a job is, again and again; what it raises ends the job."""


class Job(Protocol):
    """A piece of work for one cluster, whole as data: a class of a module that runs it where that is the program."""

    @property
    def id(self) -> str:
        """Stands for the work as a whole, whatever part of it is done by now."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def rows(self) -> int:
        """How many are to be done."""

    @property
    def gpus(self) -> int:
        """GPUs that it holds while it runs."""

    @property
    def workers(self) -> int:
        """Machines that it runs on, each with an equal share of its GPUs."""

    def run(self, tell: Tell) -> None:
        """Do all of it on the cluster that this process is connected to.

        Raises:
            ModelError: a model cannot start or go on.
            StorageError: what it reads or keeps cannot be read or written any more.
        """

    def model_dump_json(self) -> str:
        """All of it, for the process that runs it."""


RunJob = Callable[[Job, Tell], None]
"""Runs a job to its end on a cluster; which one is the caller's business."""


def main(parse: Callable[[bytes], Job], uri: str) -> None:
    """Run the job at `uri` on the cluster that this process was started on, and tell whoever started it how far it is."""
    try:
        job = parse(handed_over(uri))
        ray_cluster.attach()
        job.run(say)
    except SafePairsError as error:
        write({"fault": type(error).__name__, "message": str(error)})
        sys.exit(error.exit_code)


def handed_over(uri: str) -> bytes:
    """The file at `uri`, which has the digest that its name says: what else stands there could have this process do anything.

    Raises:
        StorageError: it is another, or cannot be read.
    """
    with warehouse.reading(uri):
        content = storage.read_bytes(uri)
    if uri.rsplit("/", 1)[-1] != f"{sha256(content).hexdigest()}.json":
        raise StorageError(f"{uri}: is not the job that was handed over; find out who writes the storage, run again")
    return content


def say(progress: Progress) -> None:
    """Print progress for whoever started this job."""
    write(asdict(progress))


def write(line: dict[str, object]) -> None:
    """Print a line of JSON, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read_line(line: str) -> Progress | None:
    """The progress that a line of a job's output tells, if it does.

    Raises:
        ModelError: it tells that the engine stopped.
        StorageError: it tells that the storage cannot be written.
    """
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    if told.get("fault") in FAULTS:
        raise FAULTS[told["fault"]](
            told.get("message", "the cluster runs another version of this code; run again when its job is over")
        )
    return PROGRESS.validate_python(told) if {"rows", "cost"} <= told.keys() else None
