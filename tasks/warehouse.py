"""DuckDB: run one `.sql` file over tables and write what it selects as a table.

In: Refs, by the names the SQL uses, and bound parameters. Out: a Ref. The address of a table is the hash of the code that
makes it (`tasks.identity`), the parameters and the inputs' hashes, so that the same work asked twice is found, not done
twice. A table that cannot be read is set aside and made again.
This is the only module that opens DuckDB for the pipeline.
"""

import glob
import io
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import ARROW, SPECIAL

from infra import leftovers, storage
from infra.snapshot import Info
from tasks.errors import StorageError, one_line
from tasks.functions import FUNCTIONS
from tasks.identity import digest, macro_definitions, of_modules, of_query, query
from tasks.tables import DROPPED, Ref, Table

logger = logging.getLogger(__name__)

ROW_GROUP_ROWS = 18_432
"""Whole vectors of DuckDB: it rounds up, and where a block of the store has a few rows less than a row group, each makes two."""
IN_MEMORY = ":memory:"
NO_PARQUET = (pa.ArrowException, ValueError, TypeError, AttributeError, RecursionError)
"""What says that a file is no Parquet file: Arrow, and code of Ray that Arrow calls where the file names a type of Ray's."""
Source: TypeAlias = Ref | Sequence[Ref] | pa.Table
"""What a query reads under one name: a table, several of one shape, or a few rows in memory."""
Tables: TypeAlias = Mapping[str, Source]


def in_memory() -> duckdb.DuckDBPyConnection:
    """An empty DuckDB, which has a folder of its own for what memory does not hold, and not the user's."""
    return duckdb.connect(config={"temp_directory": leftovers.spill()})


@contextmanager
def connect(inputs: Tables, uri: str = IN_MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB for the body, with a view a name: over one Parquet table, over several of one shape, or over rows in memory."""
    with in_memory() if uri == IN_MEMORY else duckdb.connect(uri) as connection, stopping(connection):
        connection.execute(macro_definitions())
        for name, function in FUNCTIONS.items():
            connection.create_function(
                name, by_batch(function.call), ["VARCHAR"], function.gives, type=ARROW, null_handling=SPECIAL
            )
        files = {
            name: [table_files(ref.uri) for ref in listed(source)]
            for name, source in inputs.items()
            if not isinstance(source, pa.Table)
        }
        read_remote_files(
            connection, {file: info for tables in files.values() for found in tables for file, info in found.items()}
        )
        for name, source in inputs.items():
            if isinstance(source, pa.Table):
                connection.from_arrow(source).create_view(name)
            else:
                # By name: blocks of an older version lack the columns that came later. As a statement: a relation keeps
                # Python's lock while it is bound, for which DuckDB's own threads wait when they read files through fsspec.
                named = literal([file for found in files[name] for file in found])
                connection.execute(f"SET VARIABLE {name}_files = $files", {"files": named})
                connection.execute(
                    f"CREATE VIEW {name} AS FROM read_parquet("
                    f"getvariable('{name}_files'), union_by_name = true, hive_partitioning = false)"
                )
        yield connection


@contextmanager
def stopping(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """End the query that is at work as soon as a signal's handler raises, and raise that, whatever became of it on the way.

    DuckDB makes an error of its own of what a handler raises in a query, in a function of ours or in a file of a bucket.
    """
    raised: list[BaseException] = []
    with noting(raised):
        try:
            yield
        except BaseException:
            connection.interrupt()  # before it is closed, which waits for the query
            if not raised:
                raise
    for error in raised:
        raise error from None


@contextmanager
def noting(raised: list[BaseException]) -> Iterator[None]:
    """Put what the handlers of signals raise while the body runs into `raised`, too; handlers run in the main thread alone."""
    before: dict[int, Callable[[int, FrameType | None], object]] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in signal.valid_signals()}
        before = {number: handler for number, handler in found.items() if callable(handler)}

    def note(number: int, frame: FrameType | None) -> None:
        try:
            before[number](number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        for number in before:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def table_files(uri: str) -> Mapping[str, Info | None]:
    """The files of the table at `uri`: that one, or where it ends in `*.parquet` all Parquet files of its folder.

    With what the store said of each, if it was asked.
    """
    folder, _, name = uri.rpartition("/")
    return storage.found_below(folder, ".parquet") if name == "*.parquet" else {uri: None}


def literal(uris: Sequence[str]) -> list[str]:
    """Addresses as DuckDB is to read them: it takes `[`, `*` and `?` in one for a pattern, wherever they stand."""
    return [glob.escape(uri) for uri in uris]


def by_batch(function: Callable[[str], object]) -> Callable[[pa.ChunkedArray], pa.Array]:
    """A function of one text as DuckDB calls it: with many, of which some may be null."""

    def call(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array([None if text is None else function(text) for text in texts.to_pylist()])

    return call


def read_remote_files(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Info | None]) -> None:
    """Let DuckDB read those of the `files` that are in a bucket, as they stand now and for as long as it is connected.

    Raises:
        StorageError: the bucket cannot be read.
    """
    for scheme in schemes(files):
        there = {file: info for file, info in files.items() if file.startswith(scheme)}
        with reading(next(iter(there))):
            told = {file: info for file, info in there.items() if info}
            found = told | storage.look(file for file in there if file not in told)
            connection.register_filesystem(storage.reader(found, scheme))


def write_remote_files(connection: duckdb.DuckDBPyConnection, uri: str) -> None:
    """Let DuckDB write to `uri`, through fsspec where it is in a bucket; the wheel carries no httpfs."""
    for scheme in schemes([uri]):
        if not connection.filesystem_is_registered(scheme.removesuffix("://")):
            connection.register_filesystem(storage.reader({}, scheme))


def schemes(uris: Iterable[str]) -> set[str]:
    """How the addresses among `uris` that are not on this disk begin."""
    return {uri.split("://", 1)[0] + "://" for uri in uris if "://" in uri}


def build(
    table: Table,
    folder: str,
    sql: str,
    inputs: Tables,
    **parameters: object,
) -> Ref:
    """Write the rows of `<sql>.sql` as `table` below `folder`, unless they stand there already.

    Raises:
        StorageError: the folder cannot be written.
        TypeError: the SQL does not give the table's columns (a bug).
    """

    def make(uri: str) -> None:
        with using(inputs), connect(inputs) as connection:
            write(connection, query(sql), uri, parameters)

    return find_or_make(table, folder, address(table, of_query(sql), inputs, parameters), make)


def sift(table: Table, folder: str, screened: Ref, stage: str) -> tuple[Ref, Ref]:
    """Write the rows of `screened` that a stage keeps as `table`, in their order, and those that it leaves out as `dropped`.

    Raises:
        StorageError: the folder cannot be written.
    """
    kept = build(table, folder, "kept", {"screened": screened})
    return kept, build(DROPPED, folder, "dropped", {"screened": screened}, table_name=table.name, stage=stage)


def derive(
    table: Table,
    folder: str,
    function: Callable[..., pa.Table],
    stands_on: Sequence[str],
    inputs: Mapping[str, Ref],
    **parameters: object,
) -> Ref:
    """Write the rows that a Python function gives as `table` below `folder`, unless they stand there already.

    For work that SQL cannot do. The function is called with the rows of each input and with the parameters, by name; what
    it gives depends on nothing else but its module, and the modules and libraries that it `stands_on`, by name.

    Raises:
        StorageError: the folder cannot be written.
        TypeError: the function does not give the table's columns (a bug).
    """

    def make(uri: str) -> None:
        sink = io.BytesIO()
        rows = {name: read(ref) for name, ref in inputs.items()}
        pq.write_table(function(**rows, **parameters), sink, compression="zstd")
        with writing(uri):
            storage.write_bytes(uri, sink.getvalue())

    code = digest(function.__name__, of_modules(function.__module__, *stands_on))
    return find_or_make(table, folder, address(table, code, inputs, parameters), make)


def address(table: Table, code: str, inputs: Tables, parameters: Mapping[str, object]) -> str:
    """The hash of all that the rows of a table depend on: the code that makes them, what it reads, and its parameters."""
    return digest(code, table.schema.to_string(), parameters, *identities(inputs))


def find_or_make(table: Table, folder: str, fingerprint: str, make: Callable[[str], None]) -> Ref:
    """The table of this fingerprint; `make` writes it where it does not stand, or where what stands cannot be read."""
    uri = storage.join(folder, table.name, f"{fingerprint}.parquet")
    found = standing(uri, table)
    if found is None:
        make(uri)
        found = standing(uri)
    if found is None:
        raise StorageError(f"{uri}: is gone as soon as it is written; let no other program delete it and run again")
    return checked(table, uri, fingerprint, found)


def standing(uri: str, table: Table | None = None) -> pq.FileMetaData | None:
    """What the Parquet file at `uri` says of itself; None where there is none, or one that is set aside.

    That is one that cannot be read, or has not the columns of `table`, and whatever is no file.

    Raises:
        StorageError: the disk or the bucket cannot be read.
    """
    with reading(uri):
        try:
            found = None if storage.is_no_file(uri) else footer(uri)
        except FileNotFoundError:
            return None
        if found is not None and table is not None and not is_of(table, found):
            found = None
        if found is None:
            storage.move(uri, f"{uri}.broken")
    if found is None:
        logger.warning("%s cannot be read and is now .broken; it is made again", one_line(uri))
    return found


def set_aside(uri: str) -> bool:
    """Rename a file that is no Parquet file; whether it was none, or is gone."""
    return standing(uri) is None


class Broke(StorageError):
    """A table turned out to be broken, and was set aside."""


@contextmanager
def using(inputs: Tables) -> Iterator[None]:
    """Say by name which of the `inputs` is gone or broke, where the body fails of that; what broke is set aside.

    Files that a run did not make, those of a release, are left where they are.

    Raises:
        StorageError: an input is gone, or cannot be read.
        Broke: an input broke further on than its footer; the next run makes it again.
    """
    try:
        yield
    except (duckdb.Error, StorageError, FileNotFoundError) as error:
        by_query = not isinstance(error, StorageError) or isinstance(error.__context__, duckdb.Error)
        if isinstance(error, Broke) or not by_query:
            raise
        name_fault(inputs)
        raise


def name_fault(inputs: Tables) -> None:
    """Raise what `using` raises for the first of the `inputs` that is at fault, if one is."""
    for ref in (ref for source in inputs.values() if not isinstance(source, pa.Table) for ref in listed(source)):
        with reading(ref.uri):
            files = [file for file in table_files(ref.uri) if storage.exists(file)]
            broken = [file for file in files if not is_whole(file)]
            for file in broken if ref.fingerprint else ():
                storage.move(file, f"{file}.broken")
        if not files:
            raise StorageError(f"{ref.uri}: is gone while it is needed; let nothing delete it and run again") from None
        if broken and not ref.fingerprint:
            raise StorageError(f"{broken[0]}: broke; restore it, or the whole release, and run again") from None
        if broken:
            raise Broke(f"{broken[0]}: broke, and is now .broken; run again to have it made again") from None


def listed(source: Ref | Sequence[Ref]) -> Sequence[Ref]:
    """One table or several as several."""
    return [source] if isinstance(source, Ref) else source


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
        write_remote_files(connection, uri)
        connection.execute(copy, dict(parameters) | {"uri": uri})


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turn what goes wrong with a disk or a bucket while `uri` is written into StorageError."""
    try:
        yield
    except (duckdb.IOException, *storage.FAULTS) as error:
        raise StorageError(f"{uri}: cannot be written: {reason(error)}; mend the storage and run again") from None


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn what goes wrong with a disk or a bucket while `uri` is read into StorageError."""
    try:
        yield
    except storage.FAULTS as error:
        raise StorageError(f"{uri}: cannot be read: {reason(error)}; mend the storage and run again") from None


def checked(table: Table, uri: str, fingerprint: str, found: pq.FileMetaData) -> Ref:
    """The Ref of a Parquet file that stands at `uri`, its columns checked against `table`."""
    if not is_of(table, found):
        raise TypeError(f"{uri} is not a table of {table.name}: it has {found.schema}, not {table.schema}")
    return Ref(uri, found.num_rows, fingerprint)


def is_of(table: Table, found: pq.FileMetaData) -> bool:
    """Whether a Parquet file has the columns of `table`."""
    schemas = (found.schema.to_arrow_schema(), table.schema)
    first, second = ([(field.name, plain(field.type)) for field in schema] for schema in schemas)
    return first == second


def footer(uri: str) -> pq.FileMetaData | None:
    """The footer of the Parquet file at `uri`, which is written last; None where it has none.

    Raises:
        FileNotFoundError: no file stands there.
    """
    with storage.opened(uri) as file:
        try:
            return pq.read_metadata(file)
        except MemoryError:  # one of Arrow's, too
            raise
        except NO_PARQUET:
            return None
        except OSError as error:
            if error.errno is not None:  # the storage's fault, not the file's: Arrow's own have no number
                raise
            return None


def is_whole(uri: str) -> bool:
    """Whether a Parquet file stands at `uri` that can be read to its end."""
    if storage.is_no_file(uri):
        return False
    with storage.opened(uri) as file:
        try:
            with pq.ParquetFile(file) as parquet:
                for _ in parquet.iter_batches():
                    pass
        except MemoryError:
            raise
        except NO_PARQUET:
            return False
        except OSError as error:
            if error.errno is not None:  # as above
                raise
            return False
    return True


def plain(kind: pa.DataType) -> str:
    """A type without the names that Parquet writers give to list items."""
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)


def read(ref: Ref) -> pa.Table:
    """The rows at a Ref, in memory."""
    inputs = {"rows": ref}
    with using(inputs), connect(inputs) as connection:
        return connection.execute("FROM rows").to_arrow_table()


def table(sql: str, inputs: Tables, **parameters: object) -> pa.Table:
    """What `<sql>.sql` selects, in memory: for what people are shown."""
    with using(inputs), connect(inputs) as connection:
        return connection.execute(query(sql), parameters).to_arrow_table()


def rows(sql: str, inputs: Tables, **parameters: object) -> list[dict[str, Any]]:
    """The few rows that `<sql>.sql` selects, as dicts: counts for people, never a table."""
    with using(inputs), connected(inputs) as connection:
        result = connection.execute(query(sql), parameters)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


class Opened(dict[str, Source]):
    """Tables with a connection that has them, for many queries over the same ones; one who changes them opens his own."""

    def __init__(self, tables: Tables, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(tables)
        self.connection = connection


@contextmanager
def opened(tables: Tables) -> Iterator[Opened]:
    """The tables as they stand now, for the queries of the body."""
    with using(tables), connect(tables) as connection:
        yield Opened(tables, connection)


@contextmanager
def connected(inputs: Tables) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection that has the tables already, or one that has them for the body."""
    if isinstance(inputs, Opened):
        yield inputs.connection
        return
    with connect(inputs) as connection:
        yield connection


def identities(inputs: Tables) -> list[object]:
    """What identifies each input: its name and its content's hash; several tables of one shape have no order."""
    found: list[object] = []
    for name, source in sorted(inputs.items()):
        if isinstance(source, pa.Table):
            found.append([name, source.to_pylist()])
        else:
            found.append([name, sorted(ref.fingerprint for ref in listed(source))])
    return found


def reason(error: Exception) -> str:
    """The first line of what DuckDB or the system said."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).split("\n", 1)[0]
