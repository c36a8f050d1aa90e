"""Holds the tables of flows/README.md to `Config`: every key in the table of its section, and no other key."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tasks.config import Config
from tests.conftest import ROOT

MOST_CHOICES = 5
BOUNDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
LOWER, UPPER = (Ge, Gt), (Le, Lt)
Keys = dict[str, FieldInfo]
Rows = dict[str, list[str]]


def models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a key of this type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models(argument)]


def sections(model: type[BaseModel], key: str = "", many: bool = False) -> Iterator[tuple[str, Keys]]:
    """The title of each section of the README, and its keys; engines stand there once, whoever has them."""
    kind = model.model_fields.get("kind")
    if kind is not None:
        title = f'`{key.rsplit(".", 1)[-1]}` with `kind = "{get_args(kind.annotation)[0]}"`'
    else:
        title = (f"`[[{key}]]`" if many else f"`[{key}]`") if key else "The top of the file"
    yield title, model.model_fields
    for name, field in model.model_fields.items():
        for part in models(field.annotation):
            yield from sections(part, f"{key}.{name}".lstrip("."), get_origin(field.annotation) is tuple)


def tables() -> dict[str, Rows]:
    """Type, default and meaning of each key, by the title of its section."""
    text = (ROOT / "flows/README.md").read_text().split("\n## Every key\n", 1)[1]
    written: dict[str, Rows] = {}
    for section in text.split("\n### ")[1:]:
        title, *lines = section.splitlines()
        rows = [line.strip("|").split(" | ") for line in lines if line.startswith("| `")]
        assert title not in written, title
        written[title] = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}
        assert len(written[title]) == len(rows), title
    return written


SECTIONS = dict(sections(Config))
TABLES = tables()


def test_each_section_has_a_table() -> None:
    assert TABLES.keys() == SECTIONS.keys()


@pytest.mark.parametrize("title", SECTIONS)
def test_each_key_stands_in_the_table_of_its_section_and_no_other_does(title: str) -> None:
    assert sorted(TABLES[title]) == sorted(SECTIONS[title])


@pytest.mark.parametrize("title", SECTIONS)
def test_each_default_and_each_choice_is_what_the_code_has(title: str) -> None:
    for key, field in SECTIONS[title].items():
        kind, default, meaning = TABLES[title][key]
        assert meaning, key
        assert default == written_default(field), key
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(choices) <= MOST_CHOICES:
            assert re.findall(r'`"(.*?)"`', kind) == list(choices), key


def numbers(annotation: Any, bounds: tuple[Any, ...]) -> Iterator[tuple[str, list[Any]]]:
    """Each kind of number that a key of this type holds, alone, in a list or in a table, with its bounds."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from numbers(inner, (*bounds, *more))
    elif annotation in (int, float):
        kind = "integer" if annotation is int else "number"
        yield kind, [bound for bound in bounds if isinstance(bound, (*LOWER, *UPPER))]
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from numbers(part, bounds)


@pytest.mark.parametrize("title", SECTIONS)
def test_each_number_has_a_lower_and_an_upper_bound_and_the_table_says_both(title: str) -> None:
    for key, field in SECTIONS[title].items():
        for kind, bounds in numbers(field.annotation, tuple(field.metadata)):
            assert [sum(isinstance(bound, ends) for bound in bounds) for ends in (LOWER, UPPER)] == [1, 1], key
            told = [f"{BOUNDS[type(bound)]} {limit(bound):,}" for bound in bounds]
            assert TABLES[title][key][0] == ", ".join([kind, *told]), key


def limit(bound: Ge | Gt | Le | Lt) -> Any:
    """The number of a bound."""
    return getattr(bound, type(bound).__name__.lower())


def test_numbers_in_lists_and_tables_are_found() -> None:
    assert list(numbers(tuple[Annotated[int, Ge(1)], ...] | None, ())) == [("integer", [Ge(1)])]
    assert [kind for kind, _ in numbers(dict[str, float], ())] == ["number"]
    assert list(numbers(bool | Literal[1], ())) == []


def written_default(field: FieldInfo) -> str:
    """A default as the README writes it."""
    value = field.default
    if field.is_required():
        return "required"
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return f'`{{ kind = "{value.kind}" }}`' if hasattr(value, "kind") else "its defaults"
    return "`1/3`" if value == 1 / 3 else f"`{json.dumps(value)}`"
