"""Find the one verdict in what a judge said beside it: in a code fence, between words, in an object of another shape.

In: rows of `UNCLEAR`, whose thinking is taken out. Out: rows of `FOUND`. Grain: one row per distinct completion that is not
plainly one JSON object. What can be read in two ways has a problem, and so has what begins like an object and is none.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tasks.tables import FLAG, TEXT, Table, columns

KEY = ("question", "completion", "is_cut")
UNCLEAR = Table("unclear_verdicts", KEY, columns(question=TEXT, completion=TEXT, is_cut=FLAG, spoken=TEXT))
FOUND = Table("found_verdicts", KEY, columns(question=TEXT, completion=TEXT, is_cut=FLAG, reading=TEXT, problem=TEXT))
FIELDS = ("is_safe", "harm_category", "severity_level", "winner")
NO_OBJECT, TWO_READINGS = "not a JSON object", "contradicts itself"
BEGINNING = re.compile(r'\{(?=\s*["}])')
"""Braces in prose are no object; one before a name is."""


class SaidTwice(Exception):
    """An object has a key twice."""


def find_verdicts(unclear: pa.Table) -> pa.Table:
    """Rows of `FOUND` for rows of `UNCLEAR`."""
    rows = [
        {name: row[name] for name in KEY} | dict(zip(("reading", "problem"), find(**row), strict=True))
        for row in unclear.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=FOUND.schema)


def find(question: str, spoken: str, is_cut: bool, **_: str) -> tuple[str | None, str | None]:
    """The one verdict on `question` as a JSON object, or the problem with what the text says."""
    if is_cut:
        return None, "cut off"
    word = "is_safe" if question == "harm" else "winner"
    try:
        found = list(objects(spoken))
    except SaidTwice:
        return None, TWO_READINGS
    except (ValueError, RecursionError):
        return None, NO_OBJECT
    readings = {as_json({name: one[name] for name in FIELDS if name in one}) for one in found if word in one}
    if len(readings) > 1:
        return None, TWO_READINGS
    if not readings:
        return None, f"no {word}" if found else NO_OBJECT
    return readings.pop(), None


def objects(text: str) -> Iterator[dict[str, Any]]:
    """All objects in a text, and those within them.

    Raises:
        SaidTwice: one of them has a key twice.
        ValueError: what begins like an object is none, or the text as a whole is JSON of another kind.
        RecursionError: it is deeper than Python can read.
    """
    if text.startswith("[") and is_json(text):
        raise ValueError("a list")
    beginning = BEGINNING.search(text)
    while beginning:
        value, end = DECODER.raw_decode(text, beginning.start())
        yield from within(value)
        beginning = BEGINNING.search(text, end)


def within(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 (JSON)
    """An object with what its `verdict` says, if it is one, and those in what it holds; raises SaidTwice."""
    if isinstance(value, dict):
        inner = value.get("verdict")
        if not isinstance(inner, dict):
            inner = {}
        if any(name in value and name in inner and value[name] != inner[name] for name in FIELDS):
            raise SaidTwice
        yield inner | value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from within(part)


def is_json(text: str) -> bool:
    """Whether the whole text is JSON; raises SaidTwice and RecursionError as `objects` does."""
    try:
        DECODER.decode(text)
    except ValueError:
        return False
    return True


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its keys and values; raises SaidTwice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise SaidTwice
    return found


def no_number(name: str) -> None:
    """Refuse NaN and infinity, which are no JSON; raises ValueError."""
    raise ValueError(name)


# Not strict: a raw tab or line end in a text can be read in one way.
DECODER = json.JSONDecoder(object_pairs_hook=once, parse_constant=no_number, strict=False)


def as_json(reading: dict[str, Any]) -> str:
    """A reading as JSON that UTF-8 can hold."""
    return json.dumps(reading, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace").decode()
