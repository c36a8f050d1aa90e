"""Cut wanted rows into blocks, and put answered blocks into the store.

In: a Parquet file of wanted rows; then a block of answered rows (`tables.COMPLETIONS` or `tables.EMBEDDINGS`). Out: where
each block stands in the file, so that engines read their own rows; then one Parquet file, there whole or not at all, and a
row that says what it held. Grain: one file per block, named by the hash of its keys and their errors.
"""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.engines.usage import tokens
from tasks.errors import StorageError
from tasks.identity import digest
from tasks.tables import COMPLETIONS


def cut(uri: str, rows: int) -> list[dict[str, str | int]]:
    """Where each block of at most so many rows stands in the Parquet file."""
    with open_parquet(uri) as parquet:
        sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.metadata.num_row_groups)]
    return [
        {"uri": uri, "row_group": group, "start": start, "rows": min(rows, size - start)}
        for group, size in enumerate(sizes)
        for start in range(0, size, rows)
    ]


def read(place: pa.Table) -> pa.Table:
    """The rows of one block, whose columns hold one number, text or truth each.

    Raises:
        StorageError: a column holds something else, which nobody wrote there who asks models: of some types Ray unpickles the values.
    """
    (block,) = place.to_pylist()
    with open_parquet(block["uri"]) as parquet:
        group: pa.Table = parquet.read_row_group(block["row_group"])
    for field in group.schema:
        if isinstance(plain(field.type), pa.BaseExtensionType) or pa.types.is_nested(plain(field.type)):
            raise StorageError(
                f"{block['uri']}: its column `{field.name}` was changed; run again to have the file made again"
            )
    rows = group.slice(block["start"], block["rows"])
    return rows.cast(pa.schema([(field.name, plain(field.type)) for field in rows.schema]))


def plain(kind: pa.DataType) -> pa.DataType:
    """A dictionary's type of values; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@contextmanager
def open_parquet(uri: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file on disk or in a bucket; what many requests have in common is kept once until a block is cut."""
    with storage.opened(uri) as file:
        metadata = pq.read_metadata(file)
        shared = [name for name in ("system", "json_schema") if name in metadata.schema.names]
        # Of a bucket, all columns of a row group are asked for at once.
        with pq.ParquetFile(file, metadata=metadata, read_dictionary=shared, pre_buffer=True) as parquet:
            yield parquet


def completions(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows of `tables.COMPLETIONS` as a block; one that Arrow cannot hold is an error of its own and costs no other."""
    try:
        return pa.Table.from_pylist(list(rows), schema=COMPLETIONS.schema)
    except (TypeError, ValueError, OverflowError):
        return pa.concat_tables([completion(row) for row in rows])


def completion(row: Mapping[str, object]) -> pa.Table:
    """One row of `tables.COMPLETIONS`, as an error where Arrow cannot hold it."""
    try:
        return pa.Table.from_pylist([row], schema=COMPLETIONS.schema)
    except (TypeError, ValueError, OverflowError) as error:
        failed = {"request_id": row["request_id"], "error": f"answer that cannot be kept ({type(error).__name__})"}
        return pa.Table.from_pylist([failed], schema=COMPLETIONS.schema)


def commit(block: pa.Table, store: str, asked: pa.Table) -> pa.Table:
    """Put one answered block of `asked` rows at its address in `store`.

    Gives one row with its rows, errors, tokens, when it was asked, and where its completions stand, if it has any.
    """
    errors = block["error"].to_pylist() if "error" in block.column_names else [None] * block.num_rows
    answered = sorted(zip(block.column(0).to_pylist(), (error is not None for error in errors), strict=True))
    uri = storage.join(store, f"{digest(answered)}.parquet") if answered else None
    if uri:
        put(block, uri)
    took = pc.max(block["seconds"]).as_py() or 0.0 if "seconds" in block.column_names else 0.0
    messages = pa.array([[error for error in errors if error is not None]], pa.list_(pa.string()))
    stand = pa.array([uri if "completion" in block.column_names else None], pa.string())
    counted = {name: [number] for name, number in tokens(block, asked).items()}
    return pa.table(
        {
            "rows": [block.num_rows],
            "errors": messages,
            "asked_at": [time.time() - took],
            "completions": stand,
            **counted,
        }
    )


def put(block: pa.Table, uri: str) -> None:
    """Write one Parquet file in one step; raises StorageError."""
    sink = io.BytesIO()
    pq.write_table(block, sink, compression="zstd")
    with warehouse.writing(uri):
        storage.write_bytes(uri, sink.getvalue())
