"""DuckDB: run one `.sql` file over tables and write what it selects as a table.

In: Refs, by the names the SQL uses, and bound parameters. Out: a Ref. The address of a table is the hash of the SQL,
the parameters and the inputs' hashes, so that the same work asked twice is found, not done twice.
This is the only module that opens DuckDB for the pipeline.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks.errors import StorageError
from tasks.tables import Ref, Table

HERE = Path(__file__).parent
ROW_GROUP_ROWS = 20_000


@cache
def queries() -> dict[str, Path]:
    """Every query by its name, which is its own whatever room it stands in."""
    return {path.stem: path for path in sorted(HERE.rglob("sql/*.sql"))}


def query(name: str) -> str:
    """The text of `<name>.sql`."""
    return queries()[name].read_text(encoding="utf-8")


def connect(inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table], uri: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """Open DuckDB with a view a name: over one Parquet table, over several of one shape, or over rows in memory."""
    connection = duckdb.connect(uri)
    connection.execute(query("macros"))
    for name, source in inputs.items():
        if isinstance(source, pa.Table):
            connection.from_arrow(source).create_view(name)
        else:
            files = [source.uri] if isinstance(source, Ref) else [ref.uri for ref in source]
            use_remote_files(connection, files)
            # By name: blocks of an older version lack the columns that came later. As a statement: a relation keeps
            # Python's lock while it is bound, for which DuckDB's own threads wait when they read files through fsspec.
            connection.execute(f"SET VARIABLE {name}_files = $files", {"files": files})
            connection.execute(
                f"CREATE VIEW {name} AS FROM read_parquet(getvariable('{name}_files'), union_by_name = true)"
            )
    return connection


def use_remote_files(connection: duckdb.DuckDBPyConnection, uris: Sequence[str]) -> None:
    """Let DuckDB reach every remote scheme among `uris` through fsspec; the wheel carries no httpfs."""
    for scheme in {uri.split("://", 1)[0] for uri in uris if "://" in uri}:
        if not connection.filesystem_is_registered(scheme):
            connection.register_filesystem(storage.filesystem(f"{scheme}://")[0])


def build(
    table: Table,
    folder: str,
    sql: str,
    inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table],
    **parameters: object,
) -> Ref:
    """Write the rows of `<sql>.sql` as `table` below `folder`, unless they stand there already.

    Raises:
        StorageError: the folder cannot be written.
        TypeError: the SQL does not give the table's columns (a bug).
    """
    text = query(sql)
    fingerprint = digest(text, query("macros"), table.schema.to_string(), parameters, *identities(inputs))
    uri = storage.join(folder, table.name, f"{fingerprint}.parquet")
    if not storage.exists(uri):
        with connect(inputs) as connection:
            write(connection, text, uri, parameters)
    return existing(table, uri, fingerprint)


def write(connection: duckdb.DuckDBPyConnection, selected: str, uri: str, parameters: Mapping[str, object]) -> None:
    """Write what the query `selected` gives to the Parquet file `uri`; a reader never sees half of it.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    options = (
        f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, USE_TMP_FILE true"
    )
    copy = f"COPY (\n{selected.rstrip().rstrip(';')}\n) TO $uri ({options})"
    with writing(uri):
        storage.make_folder(uri.rsplit("/", 1)[0])
        use_remote_files(connection, [uri])
        connection.execute(copy, dict(parameters) | {"uri": uri})


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turn what goes wrong with a disk or a bucket while `uri` is written into StorageError."""
    try:
        yield
    except (duckdb.IOException, *storage.FAULTS) as error:
        raise StorageError(f"{uri}: cannot be written: {reason(error)}; mend the storage and run again") from None


def existing(table: Table, uri: str, fingerprint: str) -> Ref:
    """The Ref of a Parquet file that stands at `uri`, its columns checked against `table`."""
    fs, path = storage.filesystem(uri)
    with fs.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
        found, rows = parquet.schema_arrow, parquet.metadata.num_rows
    if [(f.name, plain(f.type)) for f in found] != [(f.name, plain(f.type)) for f in table.schema]:
        raise TypeError(f"{uri} is not a table of {table.name}: it has {found}, not {table.schema}")
    return Ref(uri, rows, fingerprint)


def is_parquet(uri: str) -> bool:
    """Whether the file at `uri` has a Parquet footer, which is written last."""
    fs, path = storage.filesystem(uri)
    try:
        with fs.open(path, "rb") as file:
            pq.read_metadata(file)
    except pa.ArrowInvalid:
        return False
    except OSError as error:
        if error.errno is not None:  # the storage's fault, not the file's: Arrow's own have no number
            raise
        return False
    return True


def plain(kind: pa.DataType) -> str:
    """A type without the names that Parquet writers give to list items."""
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)


def table(sql: str, inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table], **parameters: object) -> pa.Table:
    """What `<sql>.sql` selects, in memory: for work that SQL cannot do."""
    with connect(inputs) as connection:
        return connection.execute(query(sql), parameters).to_arrow_table()


def keep(made: Table, folder: str, make: Callable[[], pa.Table], *made_of: object) -> Ref:
    """Write the rows that `make` gives as the table `made` below `folder`, unless they stand there already.

    `made_of` is what the rows depend on: the method's name and version, its parameters, its inputs' hashes.

    Raises:
        StorageError: the folder cannot be written.
    """
    fingerprint = digest(made.schema.to_string(), *made_of)
    uri = storage.join(folder, made.name, f"{fingerprint}.parquet")
    if not storage.exists(uri):
        sink = io.BytesIO()
        pq.write_table(make(), sink, compression="zstd")
        with writing(uri):
            storage.write_bytes(uri, sink.getvalue())
    return existing(made, uri, fingerprint)


def rows(sql: str, inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table], **parameters: object) -> list[dict[str, Any]]:
    """The few rows that `<sql>.sql` selects, as dicts: counts for people, never a table."""
    with connect(inputs) as connection:
        result = connection.execute(query(sql), parameters)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def count(sql: str, inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table]) -> int:
    """How many rows `<sql>.sql` selects; only the columns that decide it are read."""
    with connect(inputs) as connection:
        text = query(sql).rstrip().rstrip(";")
        counted = connection.execute(f"SELECT count(*) FROM (\n{text}\n)").fetchone()  # noqa: S608 (our own file)
    return int(counted[0]) if counted else 0


def identities(inputs: Mapping[str, Ref | Sequence[Ref] | pa.Table]) -> list[object]:
    """What identifies each input: its name and its content's hash."""
    found: list[object] = []
    for name, source in sorted(inputs.items()):
        if isinstance(source, pa.Table):
            found.append([name, source.to_pylist()])
        else:
            found.append([name, [ref.fingerprint for ref in ([source] if isinstance(source, Ref) else source)]])
    return found


def digest(*parts: object) -> str:
    """32 hexadecimal digits of the SHA-256 of the parts' JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def reason(error: Exception) -> str:
    """The first line of what DuckDB or the system said."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).split("\n", 1)[0]
