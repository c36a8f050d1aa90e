"""Put answered blocks into the store.

In: a block of answered rows (`tables.COMPLETIONS` or `tables.EMBEDDINGS`). Out: one Parquet file, there whole or not at
all, and a row that says what it held. Grain: one file per block, named by the hash of its keys and their errors.
"""

import io
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.errors import StorageError


def commit(block: pa.Table, store: str) -> pa.Table:
    """Put one answered block at its address in `store`; one row with its rows, tokens, and when it was asked."""
    errors = block["error"].to_pylist() if "error" in block.column_names else [None] * block.num_rows
    answered = sorted(zip(block.column(0).to_pylist(), (error is not None for error in errors), strict=True))
    if answered:
        put(block, storage.join(store, f"{warehouse.digest(answered)}.parquet"))
    tokens = {
        name: [pc.sum(block[name]).as_py() or 0 if name in block.column_names else 0]
        for name in ("input_tokens", "output_tokens")
    }
    took = pc.max(block["seconds"]).as_py() or 0.0 if "seconds" in block.column_names else 0.0
    return pa.table({"rows": [block.num_rows], "asked_at": [time.time() - took], **tokens})


def put(block: pa.Table, uri: str) -> None:
    """Write one Parquet file in one step; raises StorageError."""
    sink = io.BytesIO()
    pq.write_table(block, sink, compression="zstd")
    try:
        storage.write_bytes(uri, sink.getvalue())
    except storage.FAULTS as error:
        raise StorageError(
            f"{uri}: cannot be written: {warehouse.reason(error)}; mend the storage and run again"
        ) from None
