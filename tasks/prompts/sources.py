"""Read the user's prompts file, row by row, and keep what is wrong with a row beside it.

In: JSONL, CSV or Parquet at any fsspec address, with a column `prompt` and optionally `prompt_source`.
Out: table `sources`. Grain: one row per row of the file; a row that cannot be read has a problem instead of a prompt.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.errors import SourceError
from tasks.tables import SOURCES, Ref

Row = dict[str, Any]
BATCH_ROWS = 1000
MAX_FIELD_CHARS = 10_000_000


def read_sources(source: str, folder: str) -> Ref:
    """Write the file at `source` as table `sources` below `folder`.

    Raises:
        SourceError: the file is missing, empty, of another format, or has no column `prompt`.
        StorageError: the folder cannot be written.
    """
    content, fingerprint = parse(source)

    def make(uri: str) -> None:
        with warehouse.writing(uri):
            storage.write_bytes(uri, content)

    return warehouse.find_or_make(SOURCES, folder, fingerprint, make)


def parse(source: str) -> tuple[bytes, str]:
    """The file at `source` as Parquet with the columns of table `sources`, and the hash of its rows.

    A run asks for it more than once, to find its faults before anything costs, and reads the file once.

    Raises:
        SourceError: the file is missing, empty, of another format, or has no column `prompt`.
    """
    with readable(source):
        fs, path = storage.filesystem(storage.resolve(source))
        state = fs.ukey(path)
    return parse_once(source, state)


@lru_cache(maxsize=1)
def parse_once(source: str, state: str) -> tuple[bytes, str]:
    """The same of a file in one `state`, which changes with its content."""
    fingerprint = hashlib.sha256()
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SOURCES.schema, compression="zstd") as writer:
        rows = read_rows(source)
        while batch := list(islice(rows, BATCH_ROWS)):
            fingerprint.update(json.dumps(batch).encode())
            writer.write_table(pa.Table.from_pylist(batch, schema=SOURCES.schema))
    return sink.getvalue(), fingerprint.hexdigest()[:32]


def read_rows(source: str) -> Iterator[Row]:
    """Yield one row of `sources` for each row of the file; raises SourceError where there is none."""
    readers = {".jsonl": read_jsonl, ".csv": read_csv, ".parquet": read_parquet}
    suffix = PurePosixPath(source).suffix.lower()
    if suffix not in readers:
        raise SourceError(
            f"{source}: prompts are read from .jsonl, .csv or .parquet files, not {suffix or 'files without a suffix'}"
        )
    number = 0
    try:
        with readable(source), fsspec.open(storage.resolve(source), "rb") as file:
            for number, (prompt, prompt_source, problem) in enumerate(readers[suffix](source, file), start=1):
                yield row(number, prompt, prompt_source, problem)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(f"{source}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from None
    except csv.Error as error:
        raise SourceError(f"{source}: row {number + 1}: not CSV that can be read: {error}") from None
    if not number:
        raise SourceError(f"{source}: holds no rows; give a file with at least one prompt")


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Turn what goes wrong with the file or its storage into SourceError."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise
    except (*storage.FAULTS, ValueError, ImportError) as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise SourceError(f"{source}: cannot be read: {said}; give the path of a prompts file") from None


def row(number: int, prompt: object, prompt_source: object, problem: str | None) -> Row:
    """One row of `sources`; a value that Parquet cannot hold becomes a problem."""
    if problem is None and not isinstance(prompt, str):
        problem = "no prompt" if prompt is None else f"prompt is of type {type(prompt).__name__}, not text"
    if problem is None and has_surrogates(prompt):
        problem = "undecodable text"
    labelled = isinstance(prompt_source, str) and prompt_source.strip() and not has_surrogates(prompt_source)
    return {
        "row_number": number,
        "prompt": prompt if problem is None else None,
        "prompt_source": str(prompt_source).strip() if labelled else "unknown",
        "problem": problem,
    }


def has_surrogates(text: object) -> bool:
    """Whether text holds what UTF-8 cannot: lone surrogates, or bytes that were not UTF-8 to begin with."""
    return isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text)


Fields = tuple[object, object, str | None]


def read_jsonl(source: str, file: IO[bytes]) -> Iterator[Fields]:
    """Prompt, source and problem of each line that is not blank."""
    found = False
    for line in file:
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            yield None, None, "undecodable text"
            continue
        except (ValueError, RecursionError):
            yield None, None, "not JSON"
            continue
        if not isinstance(value, dict):
            yield None, None, "not a JSON object"
            continue
        found = found or "prompt" in value
        yield value.get("prompt"), value.get("prompt_source"), None
    if file.tell() and not found:
        raise SourceError(missing_column(source, "no line"))


def read_csv(source: str, file: IO[bytes]) -> Iterator[Fields]:
    """Prompt, source and problem of each record; bytes that are not UTF-8 become surrogates, found later."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = csv.DictReader(text)
    if records.fieldnames is not None and "prompt" not in records.fieldnames:
        raise SourceError(missing_column(source, f"columns are {', '.join(records.fieldnames)}"))
    for record in records:
        yield record["prompt"], record.get("prompt_source"), None


def read_parquet(source: str, file: IO[bytes]) -> Iterator[Fields]:
    """Prompt, source and problem of each row, read in batches."""
    parquet = pq.ParquetFile(file)
    wanted = [name for name in ("prompt", "prompt_source") if name in parquet.schema_arrow.names]
    if "prompt" not in wanted:
        raise SourceError(missing_column(source, f"columns are {', '.join(parquet.schema_arrow.names)}"))
    for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
        sources: Iterable[object] = values(batch["prompt_source"]) if "prompt_source" in wanted else [None] * len(batch)
        for prompt, prompt_source in zip(values(batch["prompt"]), sources, strict=True):
            yield prompt, prompt_source, None


def values(column: pa.Array) -> list[object]:
    """Python values; text is decoded here, so that bytes that are not UTF-8 become surrogates, found later."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        raw = column.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", errors="surrogateescape") for value in raw]
    found: list[object] = column.to_pylist()
    return found


def missing_column(source: str, found: str) -> str:
    """The error for a file without prompts."""
    return f"{source}: no column `prompt` ({found}); name the column that holds the prompts `prompt`"
