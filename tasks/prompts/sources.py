"""Read the user's sources of prompts as a table, with what is wrong with a row beside it.

In: JSONL, JSON arrays, CSV or Parquet at any fsspec address, with a column `prompt` and optionally `prompt_source`.
Out: table `sources`. Grain: one row per row of the files; a row that cannot be read has a problem instead of a prompt.
"""

import hashlib
import io
import json
import math
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import ClientError

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import SourceError
from tasks.prompts.formats import BATCH_ROWS, UNDECODABLE, csv_rows, json_array, json_lines, parquet_rows
from tasks.prompts.origins import Origin, origins
from tasks.prompts.signatures import what_it_is
from tasks.tables import SOURCES, Ref

Row = dict[str, Any]
READERS = {".jsonl": json_lines, ".json": json_array, ".csv": csv_rows, ".parquet": parquet_rows}
CODECS = {".gz": "gzip", ".zst": "zstd"}
"""Compression, of every format but Parquet, which has its own inside."""
OF_A_DATASET = (
    ', which a Hugging Face dataset becomes by `dataset.to_parquet("prompts.parquet")`, or name the folder in a source of '
    'the kind "dataset"'
)
HEAD_BYTES = 1 << 16
UNREADABLE = (
    *storage.FAULTS,
    ClientError,
    pa.ArrowException,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    OverflowError,
    ValueError,
)
"""What may go wrong in the middle of a file."""


def read_sources(config: Config, folder: str) -> Ref:
    """Write all sources of prompts of `config` as table `sources` below `folder`.

    Raises:
        SourceError: a file is missing, empty, of another format, or has no column `prompt`.
        StorageError: the folder cannot be written, or an earlier release is not as it was published.
    """
    content, fingerprint = parse(config)

    def make(uri: str) -> None:
        with warehouse.writing(uri):
            storage.write_bytes(uri, content)

    return warehouse.find_or_make(SOURCES, folder, fingerprint, make)


def parse(config: Config) -> tuple[bytes, str]:
    """All sources of prompts of `config` as Parquet with the columns of table `sources`, and the hash of their rows.

    A run asks for it more than once, to find its faults before anything costs, and reads each file once.

    Raises:
        SourceError: a file is missing, empty, of another format, or has no column `prompt`.
        StorageError: an earlier release is not as it was published.
    """
    found = tuple(origins(config))
    return parse_once(found, tuple(state(file) for origin in found for file in origin.files))


def state(file: str) -> str:
    """What changes with the content of the file at this address."""
    with asking(file):
        fs, path = storage.filesystem(storage.resolve(file))
        return str(fs.info(path))


@lru_cache(maxsize=1)
def parse_once(found: tuple[Origin, ...], states: tuple[str, ...]) -> tuple[bytes, str]:
    """The same of files in these `states`."""
    fingerprint = hashlib.sha256()
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SOURCES.schema, compression="zstd") as writer:
        rows = chain.from_iterable(map(rows_of, found))
        numbered = (row | {"row_number": number} for number, row in enumerate(rows, start=1))
        while batch := list(islice(numbered, BATCH_ROWS)):
            fingerprint.update(json.dumps(batch).encode())
            writer.write_table(pa.Table.from_pylist(batch, schema=SOURCES.schema))
    return sink.getvalue(), fingerprint.hexdigest()[:32]


def rows_of(origin: Origin) -> Iterator[Row]:
    """The rows of one source, each with its place in it; of several files the place in the text names the file too."""
    rows = ((file, row) for file in origin.files for row in read_rows(file))
    for number, (file, row) in enumerate(rows, start=1):
        if origin.name is None:
            yield row | {"place": f"row {number}"}
            continue
        said = [PurePosixPath(file).name] * (len(origin.files) > 1) + [row["lines"]] * (row["lines"] is not None)
        yield row | {
            "place": f"{origin.name} row {number}",
            "lines": " ".join(said) or None,
            "prompt_source": origin.name,
        }


def read_rows(source: str) -> Iterator[Row]:
    """Yield one row of `sources` for each row of the file; raises SourceError where there is none."""
    name = storage.shown(source)
    with asking(source):
        fs, path = storage.filesystem(storage.resolve(source))
        if fs.info(path)["type"] == "directory":
            raise SourceError(f"{name}: cannot be read: it is a folder; give one file{OF_A_DATASET}")
        file = io.BufferedReader(fs.open(path, "rb"), HEAD_BYTES)
        file.peek()
    number = 0
    with file, readable(source):
        suffix, text = unpacked(name, path, file)
        for number, fields in enumerate(READERS[suffix](name, text), start=1):
            yield row(number, *fields)
    if not number:
        raise SourceError(f"{name}: holds no rows; give a file with at least one prompt")


@contextmanager
def asking(source: str) -> Iterator[None]:
    """Turn what goes wrong before a file system gives the first bytes of the file into SourceError."""
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError as error:
        if any(character in source for character in "*["):
            raise SourceError(
                f"{storage.shown(source)}: cannot be read: No such file, and no pattern is expanded; give one file"
            ) from None
        raise unreadable(source, error) from None
    except Exception as error:  # noqa: BLE001 (each file system has errors of its own, which nobody can list)
        raise unreadable(source, error) from None


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Turn what goes wrong in the middle of a file into SourceError."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise SourceError(f"{storage.shown(source)}: not a Parquet file that can be read: {reason(error)}") from None
    except UNREADABLE as error:
        raise unreadable(source, error) from None


def unreadable(source: str, error: Exception) -> SourceError:
    """The error of a file that cannot be read, without what may be a credential in its address."""
    cause = storage.shown(source, reason(error))
    return SourceError(f"{storage.shown(source)}: cannot be read: {cause}; give the path of a prompts file")


def reason(error: BaseException) -> str:
    """The first line of what the system or a library said."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, FileNotFoundError):  # without a number it says no more than the address
        return reason(error.__cause__) if error.__cause__ else "No such file or directory"
    return next(iter(str(error).splitlines()), type(error).__name__)


def unpacked(name: str, path: str, file: io.BufferedReader) -> tuple[str, io.BufferedReader]:
    """The suffix that says the format of the file at `path`, and the file, without the compression that it may have.

    Raises:
        SourceError: there is no such format, or the file is something else than its name says.
    """
    suffix, packed = format_of(path)
    if suffix not in READERS or (packed and suffix == ".parquet"):
        raise SourceError(
            f"{name}: prompts are read from .jsonl, .json or .csv files, also with .gz or .zst behind, and from .parquet "
            f"files, not {suffix + packed or 'files without a suffix'}"
        )
    told = what_it_is(file.peek(), packed or suffix)
    if packed and not told:
        file = io.BufferedReader(pa.CompressedInputStream(file, CODECS[packed]), HEAD_BYTES)
        told = what_it_is(file.peek(), suffix, unpacked=True)
    if told:
        raise SourceError(f"{name}: {told}")
    return suffix, file


def format_of(path: str) -> tuple[str, str]:
    """The suffixes of format and compression of a path inside a file system, each empty where there is none."""
    if path.startswith(("http://", "https://")):
        path = urlsplit(path).path
    name = PurePosixPath(path)
    packed = name.suffix.lower()
    if packed not in CODECS:
        return packed, ""
    return PurePosixPath(name.stem).suffix.lower(), packed


def row(number: int, lines: str | None, prompt: object, prompt_source: object, problem: str | None) -> Row:
    """One row of `sources`; a value that Parquet cannot hold becomes a problem."""
    source, unlabelled = label(prompt_source)
    if problem is None and not isinstance(prompt, str):
        problem = "no prompt" if prompt is None else f"prompt is of type {type(prompt).__name__}, not text"
    elif isinstance(prompt, str) and not storage.is_unicode(prompt):
        problem = UNDECODABLE
    problem = problem or unlabelled
    return {
        "row_number": number,
        "lines": lines,
        "prompt": prompt if problem is None else None,
        "prompt_source": source,
        "problem": problem,
    }


def label(value: object) -> tuple[str, str | None]:
    """A prompt's source as text, `unknown` where nothing is said, and what is wrong with it."""
    match value:
        case None:
            return "unknown", None
        case str():
            return (value.strip() or "unknown", None) if storage.is_unicode(value) else ("unknown", UNDECODABLE)
        case bool() | int() | float():
            return "unknown" if math.isnan(value) else json.dumps(value), None
        case Decimal() | date() | time() | timedelta():
            return str(value), None
    return "unknown", f"prompt_source is of type {type(value).__name__}, not text"
