"""The store of model work: rows that were paid for once and are found ever after.

In: a table of wanted rows and a function that answers blocks of them on Ray. Out: one small Parquet file a block, put
at the store's address as soon as the block is answered. Grain: one row per wanted key.
A run that is killed loses the blocks in flight at most; started again, it asks only what the store does not hold.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.data
from ray.exceptions import RayError

from infra import storage
from tasks import warehouse
from tasks.engines import Answer
from tasks.errors import ModelError, StorageError
from tasks.tables import Cost, Ref, Table

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 5

Cluster = Callable[[], None]
"""Connects this process to a Ray cluster, if it is not connected yet; which one is the caller's business."""


@dataclass(frozen=True)
class Work:
    """One kind of model work: who does it, how, and where its rows are kept.

    `answer` is called inside the cluster and gives the function from a Ray Dataset of wanted rows to one of `kept` rows.
    `missing` names the `.sql` file that selects the wanted rows that the store lacks.
    """

    name: str
    model: str
    answer: Callable[[], Answer]
    block_rows: int
    wanted: Table
    kept: Table
    missing: str


def obtain(work: Work, wanted: Ref, folder: str, cluster: Cluster) -> tuple[Ref, Cost]:
    """Have every `wanted` row answered, from the store below `folder` or by a model on the cluster.

    Returns a Ref to the store's blocks, whose fingerprint stands for the answers to `wanted`, and what it cost.

    Raises:
        ModelError: the engine cannot start or go on.
        StorageError: the folder or a block cannot be written.
    """
    uri = storage.join(folder, work.kept.name, warehouse.digest(work.model)[:16])
    first = storage.join(uri, "empty.parquet")
    if not storage.exists(first):
        put(work.kept.schema.empty_table(), first)
    pending = unanswered(work, wanted, folder, uri)
    cost = Cost(asked=pending.rows, found=wanted.rows - pending.rows)
    if pending.rows:
        cluster()
        cost += fill(work, pending, uri)
        pending = unanswered(work, wanted, folder, uri)
    answered = warehouse.digest(wanted.fingerprint, pending.rows)
    return Ref(storage.join(uri, "*.parquet"), wanted.rows - pending.rows, answered), cost


def unanswered(work: Work, wanted: Ref, folder: str, uri: str) -> Ref:
    """The wanted rows that the store at `uri` does not hold."""
    blocks = [block.rsplit("/", 1)[-1] for block in storage.listing(uri, ".parquet")]
    stored = Ref(storage.join(uri, "*.parquet"), len(blocks), warehouse.digest(blocks))
    return warehouse.build(work.wanted, folder, work.missing, {"wanted": wanted, "stored": stored})


def fill(work: Work, pending: Ref, uri: str) -> Cost:
    """Answer all `pending` rows and put them at `uri`, block by block, saying how far it is."""
    started = reported = time.monotonic()
    cost, done = Cost(), 0
    logger.info("%s: 0 of %d", work.name, pending.rows)
    for block in blocks(work, pending, uri):
        done += block["rows"]
        cost += Cost(input_tokens=block["input_tokens"], output_tokens=block["output_tokens"])
        seconds = time.monotonic() - started
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS or done == pending.rows:
            reported = time.monotonic()
            speed = f", {cost.output_tokens / seconds:.0f} tokens/s" if cost.output_tokens else ""
            logger.info("%s: %d of %d%s", work.name, done, pending.rows, speed)
    return cost + Cost(seconds=time.monotonic() - started)


def blocks(work: Work, pending: Ref, uri: str) -> Iterator[dict[str, int]]:
    """Run the Ray Data job; yield rows and tokens of each block once it is in the store."""
    # The block size must be set right after the read: Ray commits nothing before a block's last row.
    wanted = ray.data.read_parquet(pending.uri).repartition(target_num_rows_per_block=work.block_rows)
    committed = work.answer()(wanted).map_batches(
        commit, fn_kwargs={"uri": uri}, batch_size=None, batch_format="pyarrow", num_cpus=0.5
    )
    try:
        yield from committed.iter_rows()
    except RayError as error:
        cause = last_cause(error)
        if isinstance(cause, StorageError):
            raise StorageError(str(cause)) from None
        said = str(cause).strip().splitlines()[-1:] or [type(cause).__name__]
        raise ModelError(f"{work.name}: the engine stopped: {said[0]}; what is answered is kept, run again") from None


def last_cause(error: BaseException) -> BaseException:
    """What a task raised, beneath the layers that Ray put around it."""
    cause = getattr(error, "cause", None)
    return last_cause(cause) if isinstance(cause, BaseException) else error


def commit(block: pa.Table, uri: str) -> pa.Table:
    """Put one answered block at its address, the hash of its keys and their errors, and say what it held."""
    errors = block["error"].to_pylist() if "error" in block.column_names else [None] * block.num_rows
    answered = sorted(zip(block.column(0).to_pylist(), (error is not None for error in errors), strict=True))
    if answered:
        put(block, storage.join(uri, f"{warehouse.digest(answered)}.parquet"))
    tokens = {
        name: [pc.sum(block[name]).as_py() or 0 if name in block.column_names else 0]
        for name in ("input_tokens", "output_tokens")
    }
    return pa.table({"rows": [block.num_rows], **tokens})


def put(block: pa.Table, uri: str) -> None:
    """Write one Parquet file in one step; raises StorageError."""
    sink = io.BytesIO()
    pq.write_table(block, sink, compression="zstd")
    try:
        storage.write_bytes(uri, sink.getvalue())
    except OSError as error:
        raise StorageError(
            f"{uri}: cannot be written: {error.strerror or error}; mend the storage and run again"
        ) from None
