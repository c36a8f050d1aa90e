"""The store of model work: rows that were paid for once and are found ever after.

In: a table of wanted rows, the model that can answer them, and what runs jobs. Out: the store's blocks, which hold an
answer to every wanted row. Grain: one row per wanted key; where two runs answered one, readers take either.
Resuming is an anti-join: only what the store does not hold is asked.
"""

import json
import logging
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import duckdb
import pyarrow as pa

from infra import storage
from tasks import warehouse
from tasks.config import Model
from tasks.engines.blocks import put
from tasks.identity import digest
from tasks.tables import COMPLETIONS, EMBEDDINGS, INTEGER, Cost, Ref, Table, columns
from tasks.work.answering import ALIKE, Answering
from tasks.work.job import Progress, RunJob

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 5
MOST_BLOCKS = 200
"""Files in one store above which the next run joins them into one."""


@dataclass(frozen=True)
class Work:
    """One kind of model work: who does it, for which table, and where its rows are kept.

    `identity` is that of the model. What is kept stands in table `kept`, by whose name queries look it up.
    """

    name: str
    identity: str
    model: Model
    wanted: Table
    kept: Table


def obtain(work: Work, wanted: Ref, folder: str, run: RunJob) -> tuple[Ref, Cost]:
    """Have every `wanted` row answered, from the store below `folder` or by a model on a cluster.

    Returns a Ref to the store's blocks, whose fingerprint stands for the answers to `wanted`, and what it cost.

    Raises:
        ModelError: the engine cannot start or go on, or its first rows all failed alike.
        StorageError: the folder or a block cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    uri = store_address(folder, work.kept, work.identity)
    stored, held, excused = look_up(work, wanted, uri)
    cost = Cost(asked=wanted.rows - held.rows, found=held.rows)
    if cost.asked:
        job = Answering(
            # With all settings: a job that runs already with others must not be taken for this one.
            id=digest(work.identity, wanted.fingerprint, uri, work.model.model_dump(mode="json"))[:20],
            name=work.name,
            model=work.model,
            pending=missing(work, wanted, stored, held, folder),
            store=uri,
            patience=ALIKE + excused if held.rows or excused else min(ALIKE, cost.asked),
        )
        cost += follow(job, run)
        _, held, _ = look_up(work, wanted, uri)
    return held, cost


def store_address(folder: str, kept: Table, identity: str) -> str:
    """Where the rows of one model stand below `folder`."""
    return storage.join(folder, kept.name, digest(identity)[:16])


def look_up(work: Work, wanted: Ref, uri: str) -> tuple[Ref, Ref, int]:
    """All blocks of the store at `uri`, the same as answers to `wanted`, and how many rows without one have an excuse.

    Answers are identified by what they say. What is known to be longer than the model counts as answered: with nothing. A row has
    an excuse where it failed before while others were answered, and where it is a further attempt at what could not be read: that
    such rows fail alike says nothing of the model. A block that cannot be read is set aside, and whatever is no file.
    """
    with warehouse.reading(uri):
        listed = storage.listing(uri, ".parquet")
    blocks = [block for block in listed if not (storage.is_no_file(block) and warehouse.set_aside(block))]
    # Without rows, but with all columns: a store may be empty, or hold blocks of an older version only.
    shape = storage.join(uri, f"columns-{digest(work.kept.schema.to_string())[:8]}.parquet")
    if shape not in blocks:
        put(work.kept.schema.empty_table(), shape)
    all_blocks = storage.join(uri, "*.parquet")
    names = [block.rsplit("/", 1)[-1] for block in blocks]
    stored = Ref(all_blocks, len(names), digest(names))
    try:
        (found,) = warehouse.rows(f"{work.kept.name}_held", {"wanted": wanted, "stored": stored, "model": room(work)})
    except warehouse.Broke:
        if not storage.exists(wanted.uri):
            raise
        return look_up(work, wanted, uri)
    except duckdb.Error:
        if not set_aside_others(work.kept, blocks):
            raise
        return look_up(work, wanted, uri)
    return stored, Ref(all_blocks, found["rows"], digest(found["rows"], found["content"])), found["excused"]


def set_aside_others(kept: Table, blocks: Sequence[str]) -> bool:
    """Set aside what are no blocks of a store of table `kept`, whole as they may be; whether there was one.

    A block of an older version may lack columns, but the first, by which rows are known.
    """
    known = {field.name: warehouse.plain(field.type) for field in kept.schema}
    found = False
    for block in blocks:
        metadata = warehouse.standing(block)
        if metadata is not None:
            has = {field.name: warehouse.plain(field.type) for field in metadata.schema.to_arrow_schema()}
            if kept.schema.names[0] in has and all(known.get(name, kind) == kind for name, kind in has.items()):
                continue
            storage.move(block, f"{block}.broken")
        found = True
    return found


def missing(work: Work, wanted: Ref, stored: Ref, held: Ref, folder: str) -> Ref:
    """The wanted rows that the store does not hold; often that is all of them, which need no copy."""
    if not held.rows:
        return wanted
    inputs: warehouse.Tables = {"wanted": wanted, "stored": stored, "model": room(work)}
    return warehouse.build(work.wanted, folder, f"{work.kept.name}_missing", inputs)


def room(work: Work) -> pa.Table:
    """What the model has room for, as a row: a request that is longer need not be asked."""
    return pa.Table.from_pylist([{"positions": work.model.positions}], schema=columns(positions=INTEGER))


def compact(folder: str) -> None:
    """Join the blocks of every store below `folder` that has many.

    Nobody may be reading there. Killed in between, some rows stand there twice for a while.
    """
    for kept in (COMPLETIONS, EMBEDDINGS):
        stores = storage.join(folder, kept.name)
        for uri in storage.folders(stores) if storage.exists(stores) else []:
            with warehouse.reading(uri):
                blocks = storage.listing(uri, ".parquet")
            if len(blocks) > MOST_BLOCKS and not sum(map(warehouse.set_aside, blocks)):
                with suppress(warehouse.Broke):  # the others are joined another time
                    join_blocks(blocks, uri)


def join_blocks(blocks: list[str], uri: str) -> None:
    """Make one file of all blocks, then delete them."""
    joined = storage.join(uri, f"{digest(blocks)}.parquet")
    inputs = {"blocks": [Ref(block, 0, block) for block in blocks]}
    with warehouse.using(inputs), warehouse.connect(inputs) as connection:
        warehouse.write(connection, "FROM blocks", joined, {})
    storage.remove_files(blocks)


def follow(job: Answering, run: RunJob) -> Cost:
    """Run the job to its end, saying how far it is, and note its speed beside the answers, if there are any."""
    started = reported = time.monotonic()
    latest = Progress(0, Cost())

    def tell(progress: Progress) -> None:
        nonlocal latest, reported
        latest = progress
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS or progress.rows == job.rows:
            reported = time.monotonic()
            logger.info("%s: %d of %d, %s", job.name, progress.rows, job.rows, speed(progress.cost))

    logger.info("%s: 0 of %d", job.name, job.rows)
    run(job, tell)
    if latest.rows > sum(number for _, number in latest.cost.errors):  # refusals alone say nothing of its speed
        told = history(job.store, job.name)
        with warehouse.writing(told):
            storage.write_bytes(told, json.dumps(asdict(latest)).encode())
    waited = time.monotonic() - started - latest.cost.start_seconds - latest.cost.seconds
    return replace(latest.cost, queue_seconds=max(waited, 0.0))


def history(store: str, name: str) -> str:
    """Where the store keeps what work of this name took the last time: a Progress as JSON."""
    return storage.join(store, "history", f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.json")


def speed(cost: Cost) -> str:
    """Tokens out a second of work, with `~` where some are estimated; embedders have none."""
    rate = (cost.output_tokens + cost.estimated_output_tokens) / cost.seconds if cost.seconds else 0
    return f"{'~' if cost.estimated_output_tokens else ''}{rate:,.0f} tokens/s" if rate else "done"
