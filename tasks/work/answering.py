"""Have one model answer the rows that the store lacks: a kind of job.

In: an `Answering`, whose rows stand in a Parquet file. Out: one small Parquet file a block, put at the store's address as soon
as the block is answered. Grain: one row per wanted key. Killed, it loses the blocks in flight at most.
On a cluster of its own it runs as `python -m tasks.work.answering URI`.
"""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from typing import Any

import ray.data
from pydantic import BaseModel
from ray.exceptions import RayError

from tasks import warehouse
from tasks.config import Model
from tasks.engines.blocks import cut
from tasks.engines.chat import TOO_LONG
from tasks.engines.openai.replies import FORBIDDEN, NO_ACCESS
from tasks.errors import ModelError, StorageError
from tasks.tables import Cost, Ref
from tasks.work.job import Progress, Tell, main

RAYS_ADVICE = re.compile(r"\s*Failed to apply UDF transform after \d.*", re.DOTALL)
"""Ray Data appends this to the message of an engine's fault."""
ALIKE = 32
"""Rows without an answer, all for one reason, after which a job whose first rows they are is not worth going on."""
KINDS = 8
"""So many times as many rows without one answer are enough, whatever the reasons, and at any place of a job."""
PLACES = 8
"""Blocks that these rows come from, if there are as many: what stands together, short or alike, may be refused together."""
MOST_ERRORS = 20
"""Kinds of words that are told of a job's errors; the others are told as a number."""


class Answering(BaseModel, frozen=True):
    """One model, the rows it is to answer, and the store that its answers go to.

    `id` stands for the work as a whole, whatever part of it the store holds by now. The job stops after so many first rows
    without an answer as it has `patience`, if they failed alike, and after `KINDS` times as many in any case; after `KINDS` times
    as many in a row at any place; and after `ALIKE` first answers, or its patience if that is more, in which
    nothing is said.
    """

    id: str
    name: str
    model: Model
    pending: Ref
    store: str
    patience: int = ALIKE

    @property
    def rows(self) -> int:
        """Those that are pending."""
        return self.pending.rows

    @property
    def gpus(self) -> int:
        """Those of its model."""
        return self.model.gpus

    @property
    def workers(self) -> int:
        """Those of its model."""
        return self.model.workers

    def run(self, tell: Tell) -> None:
        """Answer all pending rows on the cluster that this process is connected to, and put them into the store.

        Raises:
            ModelError: the engine cannot start or go on, its first rows all failed alike, or very many in a row, its first rows say
                nothing, or it lets us ask nothing more.
            StorageError: the rows cannot be read any more, or a block cannot be written.
        """
        began, started = time.time(), time.monotonic()
        rows, done, silent, tokens, start = 0, 0, 0, Cost(), None
        errors: Counter[str] = Counter()
        since: Counter[str] = Counter()
        lost = 0
        with closing(blocks(self)) as committed:
            for block in committed:
                elapsed = time.monotonic() - started
                if block["completions"] and is_unheard(rows, errors, silent):
                    silent += silent_answers(block["completions"])
                rows, done = rows + int(block["rows"]), done + 1
                told = [without_length(str(error)) for error in block["errors"]]
                errors.update(told)
                since, lost = (since + Counter(told), lost + 1) if len(told) == int(block["rows"]) else (Counter(), 0)
                tokens += Cost(
                    input_tokens=int(block["input_tokens"]),
                    output_tokens=int(block["output_tokens"]),
                    estimated_input_tokens=int(block["estimated_input_tokens"]),
                    estimated_output_tokens=int(block["estimated_output_tokens"]),
                )
                if start is None:
                    # A clock that was moved must not turn the measure negative or longer than the job.
                    start = min(max(block["asked_at"] - began, 0.0), elapsed)
                spent = Cost(
                    start_seconds=start,
                    seconds=elapsed - start,
                    gpu_seconds=elapsed * self.gpus,
                    errors=most_common(errors),
                )
                tell(Progress(rows, tokens + spent))
                if told_off := shut_out(self, block, errors):
                    raise ModelError(
                        f"{self.name}: {self.model.title} may be asked nothing more: {told_off}; what is answered is "
                        "kept; mend the key, its rights or its quota, run again"
                    )
                if cause := hopeless(self, rows, done, errors):
                    raise ModelError(
                        f"{self.name}: {self.model.title} answered none of the first {rows:,} requests: "
                        f"{cause}; mend the cause (address, key, name and settings of the model), run again"
                    )
                if cause := stuck(self, since, lost):
                    raise ModelError(
                        f"{self.name}: {self.model.title} answered none of the last {since.total():,} requests: {cause}; "
                        "what is answered is kept; mend the cause (its server, key or quota), run again"
                    )
                enough = silent >= max(self.patience, ALIKE) and (rows == self.rows or done >= PLACES)
                if enough and is_unheard(rows, errors, silent):
                    raise ModelError(
                        f"{self.name}: {self.model.title} said nothing in the first {rows:,} answers, which are empty or thinking "
                        "alone; raise max_tokens or switch the thinking off, run again"
                    )


def shut_out(job: Answering, block: dict[str, Any], errors: Counter[str]) -> str | None:
    """What an engine says that answers nothing more; that it forbids counts where all of a block was, and more than is excused."""
    no_access = [error for error in errors if error.startswith(NO_ACCESS)]
    forbidden = [error for error in errors.elements() if error.startswith(FORBIDDEN)]
    whole = all(str(error).startswith(FORBIDDEN) for error in block["errors"]) and len(block["errors"]) == block["rows"]
    excused = max(job.patience - ALIKE, 0)
    return next(iter(no_access or (forbidden if whole and len(forbidden) > excused else [])), None)


def hopeless(job: Answering, rows: int, done: int, errors: Counter[str]) -> str | None:
    """The most frequent error of a job whose first `rows`, of so many blocks, say that all would fail; None for any other job.

    What was found to be too long was not sent, and says nothing of the others. What an endpoint calls too long says little.
    """
    sent = Counter({error: number for error, number in errors.items() if error != TOO_LONG})
    is_whole = rows == job.rows
    enough = sent.total() >= job.patience and (is_whole or done >= PLACES)
    if not sent or rows > errors.total() or not enough:
        return None
    reasons = set(map(reason, sent))
    alike = len(reasons) == 1 and not reasons.pop().startswith(TOO_LONG)
    return sent.most_common(1)[0][0] if alike or sent.total() >= KINDS * job.patience else None


def stuck(job: Answering, since: Counter[str], lost: int) -> str | None:
    """The most frequent error of an engine that answers no more; None while what failed `since` its last answer may be the rows' own.

    So many rows of so many blocks, all of them `lost`, stand in a row by chance in no job that is answered: their order was drawn.
    """
    sent = Counter({error: number for error, number in since.items() if error != TOO_LONG})
    enough = sent.total() >= KINDS * max(job.patience, ALIKE) and lost >= PLACES
    return sent.most_common(1)[0][0] if enough else None


def is_unheard(rows: int, errors: Counter[str], silent: int) -> bool:
    """Whether a job has said nothing so far: all of its `rows` are errors, or are among so many `silent` answers."""
    return rows == errors.total() + silent


def silent_answers(completions: str) -> int:
    """How many answers of a block say nothing, or no more than what the model thinks."""
    block = {"completions": Ref(completions, 0, "")}
    (found,) = warehouse.rows("completions_silent", block)
    return int(found["answers"])


def reason(error: str) -> str:
    """What an error is, without what was said of it."""
    return error.partition(": ")[0]


def without_length(error: str) -> str:
    """An error as it is counted: of what was too long each has lengths of its own."""
    return reason(error) if error.startswith(TOO_LONG) else error


def most_common(errors: Counter[str]) -> tuple[tuple[str, int], ...]:
    """The errors that are told, and how often each came; how many others there were."""
    told = errors.most_common(MOST_ERRORS)
    others = errors.total() - sum(number for _, number in told)
    return (*told, *([("others", others)] if others else []))


def places(job: Answering) -> list[dict[str, str | int]]:
    """Where the blocks of the job stand, in an order that was drawn: its first requests speak for all, not for short ones."""
    with warehouse.reading(job.pending.uri):
        found = cut(job.pending.uri, job.model.block_rows)
    random.Random(job.id).shuffle(found)  # noqa: S311 (nobody is to be surprised)
    return found


def blocks(job: Answering) -> Generator[dict[str, Any]]:
    """Run the Ray Data job; yield rows, errors and tokens of each block once it is in the store."""
    found = places(job)
    # From items, whose metadata this process makes: `from_arrow` asks workers for it, which then cannot become actors.
    wanted = ray.data.from_items(found, override_num_blocks=len(found))
    try:
        yield from job.model.answering(job.store)(wanted).iter_rows()
    except RayError as error:
        cause = last_cause(error)
        message = without_advice(cause)
        if isinstance(cause, StorageError):
            raise StorageError(message) from None
        with warehouse.reading(job.pending.uri):
            warehouse.footer(job.pending.uri)
        words = message.splitlines()[-1]
        raise ModelError(
            f"{job.name}: the engine of {job.model.title} stopped: {words}; what is answered is kept, run again"
        ) from None


def without_advice(cause: BaseException) -> str:
    """What a task's exception said when it was raised."""
    return RAYS_ADVICE.sub("", str(cause)).strip() or type(cause).__name__


def last_cause(error: BaseException) -> BaseException:
    """What a task raised, beneath the layers that Ray put around it."""
    cause = getattr(error, "cause", None)
    return last_cause(cause) if isinstance(cause, BaseException) else error


if __name__ == "__main__":
    main(Answering.model_validate_json, sys.argv[1])
