"""Read the rows of a CSV, JSONL, JSON or Parquet file: what parses cleanly, and what is wrong with the rest.

In: a file that is open, and the name that errors call it by. Out: `Fields`. Grain: one per row of the file. Nothing is mended
or joined: a row that does not parse has a problem, and lines that are empty are no rows.
"""

import csv
import json
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import SourceError

Fields = tuple[str | None, object, object, str | None]
"""Where a row stands in its text file, its prompt, its source, and what is wrong with it."""
BATCH_ROWS = 1000
BOM = b"\xef\xbb\xbf"
UNDECODABLE = "undecodable text"
BLANKS = " \t\r\n"
FAMILIAR = {"prompt", "prompts", "prompt_source", "source", "question", "questions", "text", "texts", "instruction"}
FAMILIAR |= {"input", "inputs", "query", "content", "message", "messages", "conversation", "conversations", "id"}
FAMILIAR |= {"response", "responses", "answer", "answers", "output", "label", "is_safe"}
"""Names of columns that errors say: others may be a first row, and whoever reads errors may not read the file."""

FIELD = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n]*+)'
RECORD = re.compile(FIELD + rb"(?:," + FIELD + rb")*+")
"""A record of RFC 4180, which leaves quotes and line ends to fields in quotes."""
OPEN = re.compile(rb"(?:" + FIELD + rb',)*+"[^"]*+(?:""[^"]*+)*+')
"""The beginning of a record that ends inside a field in quotes."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
csv.field_size_limit(sys.maxsize)


class Record(NamedTuple):
    """Where a record stands in its file, its bytes, and what is wrong with its quotes."""

    place: str
    text: bytes
    problem: str | None


def csv_rows(name: str, file: IO[bytes]) -> Iterator[Fields]:
    """The rows of CSV as RFC 4180 has it, below a line with the names of the columns; raises SourceError."""
    found = records(physical_lines(file))
    header = next(found, None)
    if header is None:
        return
    columns, problem = split(header)
    if problem:
        raise SourceError(f"{name}: {header.place}: the names of the columns are no clean CSV: {problem}; mend them")
    check_separator(name, columns)
    check_columns(name, columns)
    prompt = columns.index("prompt")
    source = columns.index("prompt_source") if "prompt_source" in columns else None
    for record in found:
        fields, problem = split(record)
        if problem is None and len(fields) != len(columns):
            problem = "too few fields" if len(fields) < len(columns) else "too many fields"
        if problem:
            yield record.place, None, None, problem
        else:
            yield record.place, fields[prompt], None if source is None else fields[source], None


def physical_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends, without a byte order mark. A bare carriage return ends one where it ends the first."""
    first = next(file, b"").removeprefix(BOM)
    if b"\r" in first.rstrip(b"\r\n"):
        for line in chain([first], file):
            yield from line.splitlines(keepends=True)
    elif first:
        yield first
        yield from file


def records(lines: Iterator[bytes]) -> Iterator[Record]:
    """Each record that is not empty: where it stands, its text, and what is wrong with its quotes.

    Only a line with an odd number of quotes can begin a field that goes on in the next, and only the next such line can end
    it. Where both together are no clean record, the quote is stray: it costs its own line and no other.
    """
    ahead: deque[bytes] = deque()
    first = 0
    while line := ahead.popleft() if ahead else next(lines, b""):
        first += 1
        record = line.rstrip(b"\r\n")
        if line.count(b'"') % 2 and OPEN.fullmatch(line):
            for later in lines:
                ahead.append(later)
                if later.count(b'"') % 2:
                    break
            whole = b"".join([line, *ahead]).rstrip(b"\r\n")
            if RECORD.fullmatch(whole):
                yield Record(f"lines {first}-{first + len(ahead)}", whole, None)
                first += len(ahead)
                ahead.clear()
            else:
                yield Record(f"line {first}", record, "unclosed quote")
        elif not RECORD.fullmatch(record):
            problem = "quote inside a field" if b'"' in record else "line end inside a field"
            yield Record(f"line {first}", record, problem)
        elif record:
            yield Record(f"line {first}", record, None)


def split(record: Record) -> tuple[list[str], str | None]:
    """The fields of a record, or what is wrong with it."""
    if record.problem:
        return [], record.problem
    try:
        (fields,) = csv.reader([record.text.decode()])
    except UnicodeDecodeError:
        return [], UNDECODABLE
    return fields, None


def check_separator(name: str, columns: Sequence[str]) -> None:
    """Raise SourceError if something else than commas stands between columns."""
    for separator, plural in SEPARATORS.items():
        if "prompt" not in columns and any("prompt" in column.split(separator) for column in columns):
            raise SourceError(f"{name}: columns are separated by {plural}; separate them by commas")


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise SourceError if the columns have no `prompt`, or two of one name; columns without a name are nobody's."""
    if "prompt" not in columns:
        raise SourceError(missing_column(name, f"columns are {listed(columns)}"))
    seen: dict[str, int] = {}
    for number, column in enumerate(columns, start=1):
        if column in seen:
            both = f"columns {seen[column]} and {number}"
            raise SourceError(f"{name}: two columns have one name ({both}); keep one, or rename the other")
        if column:
            seen[column] = number


def json_lines(name: str, file: IO[bytes]) -> Iterator[Fields]:
    """The rows of JSONL: one object on each line that is not empty; raises SourceError."""
    faults: list[str] = []
    decoder = strict(faults)
    keys: dict[str, None] = {}
    rows = 0
    for number, line in enumerate(physical_lines(file), start=1):
        value: object = None
        try:
            text = line.decode("utf-8-sig").strip(BLANKS)
            if not text:
                continue
            value, end = decoder.raw_decode(text)
            if end < len(text):
                faults.append("more than one JSON value" if text[end:].lstrip(BLANKS)[0] in "{[" else "not JSON")
        except UnicodeDecodeError:
            faults.append(UNDECODABLE)
        except (ValueError, RecursionError):
            faults.append("not JSON")
        rows += 1
        keys |= dict.fromkeys(value) if isinstance(value, dict) and "prompt" not in keys else {}
        yield f"line {number}", *fields_of(value, faults)
        faults.clear()
    if rows and not keys:
        raise SourceError(f"{name}: no line is a JSON object of its own; write one on each line")
    if rows and "prompt" not in keys:
        raise SourceError(missing_column(name, f"keys are {listed(list(keys))}"))


def json_array(name: str, file: IO[bytes]) -> Iterator[Fields]:
    """The rows of one JSON array of objects, however it is laid out; raises SourceError."""
    faults: list[str] = []
    keys: dict[str, None] = {}
    text = file.read().removeprefix(BOM).decode(errors="surrogateescape").rstrip(BLANKS)
    if not text.strip(BLANKS):
        return
    if text[skip(text, 0)] != "[":
        raise SourceError(f"{name}: is no JSON array; if it has one object on each line, name it .jsonl")
    line, counted = 1, 0
    try:
        for position, value in elements(text, strict(faults)):
            line, counted = line + text.count("\n", counted, position), position
            keys |= dict.fromkeys(value) if isinstance(value, dict) and "prompt" not in keys else {}
            yield f"line {line}", *fields_of(value, faults)
            faults.clear()
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{name}: line {getattr(error, 'lineno', line)}: no JSON that can be read; mend it") from None
    if counted and not keys:
        raise SourceError(f"{name}: no element of the array is a JSON object; write one for each prompt")
    if counted and "prompt" not in keys:
        raise SourceError(missing_column(name, f"keys are {listed(list(keys))}"))


def elements(text: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, Any]]:
    """Where each element of a JSON array begins, and its value; raises ValueError where the text is no array."""
    position = skip(text, skip(text, 0) + 1)
    more = text[position : position + 1] != "]"
    while more:
        value, end = decoder.raw_decode(text, position)
        yield position, value
        end = skip(text, end)
        more = text[end : end + 1] == ","
        position = skip(text, end + 1) if more else end
    if text[position:] != "]":
        raise json.JSONDecodeError("no end of the array", text, position)


def skip(text: str, position: int) -> int:
    """Where, from `position` on, the first character stands that is no blank."""
    while text[position : position + 1] in tuple(BLANKS):
        position += 1
    return position


MOST_DIGITS = 1000
"""Of a number in JSON; Python refuses to read one with some thousands."""


def strict(faults: list[str]) -> json.JSONDecoder:
    """Reads JSON, and adds to `faults` what it would otherwise let pass: a key twice, `NaN`, `Infinity`."""

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            faults.append("a key twice")
        return found

    def to_number(digits: str) -> int | None:
        if len(digits) > MOST_DIGITS:
            faults.append("a number too long")
            return None
        return int(digits)

    return json.JSONDecoder(
        object_pairs_hook=to_object, parse_int=to_number, parse_constant=lambda _: faults.append("not JSON")
    )


def fields_of(value: object, faults: Sequence[str]) -> tuple[object, object, str | None]:
    """Prompt, source and problem of one JSON value."""
    if faults:
        return None, None, faults[0]
    if not isinstance(value, dict):
        return None, None, "not a JSON object"
    return value.get("prompt"), value.get("prompt_source"), None


def parquet_rows(name: str, file: IO[bytes]) -> Iterator[Fields]:
    """The rows of Parquet, read in batches; raises SourceError."""
    parquet = pq.ParquetFile(file)
    check_columns(name, parquet.schema_arrow.names)
    kinds = {column.name: stored(column.type) for column in parquet.schema_arrow}
    if not is_text(kinds["prompt"]):
        raise SourceError(f"{name}: column `prompt` is of type {kind_of(kinds['prompt'])}, not text; write it as text")
    source = kinds.get("prompt_source", pa.null())
    if not (is_text(source) or pa.types.is_primitive(source) or pa.types.is_decimal(source)):
        raise SourceError(f"{name}: column `prompt_source` is of type {kind_of(source)}, not text; write it as text")
    wanted = [column for column in ("prompt", "prompt_source") if column in kinds]
    for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
        sources: Iterable[object] = values(batch["prompt_source"]) if "prompt_source" in kinds else [None] * len(batch)
        for prompt, prompt_source in zip(values(batch["prompt"]), sources, strict=True):
            yield None, prompt, prompt_source, None


def stored(kind: pa.DataType) -> pa.DataType:
    """The type that values are kept in, for one that only shortens or names them."""
    if pa.types.is_dictionary(kind):
        return stored(kind.value_type)
    return stored(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def kind_of(kind: pa.DataType) -> str:
    """A type for people, without the names of its fields."""
    return str(kind).partition("<")[0]


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, or nothing at all."""
    types = pa.types
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
    )


def values(column: pa.Array) -> list[object]:
    """Python values; text is decoded here, so that bytes that are not UTF-8 become surrogates, found later."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        raw = column.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", errors="surrogateescape") for value in raw]
    found: list[object] = column.to_pylist()
    return found


def missing_column(name: str, found: str) -> str:
    """The error for a file without prompts."""
    return f"{name}: no column `prompt` ({found}); name the column that holds the prompts `prompt`"


def listed(columns: Sequence[str]) -> str:
    """The familiar ones among names of columns, and how many others there are."""
    names = [column.strip() for column in columns if column.strip().lower() in FAMILIAR]
    others = len(columns) - len(names)
    return ", ".join([*names, *([f"{others:,} not told"] if others else [])])
