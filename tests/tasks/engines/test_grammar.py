"""What the grammar lets a model say is what the parser reads, and what OpenAI's strict mode documents."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import xgrammar
from hypothesis import given
from hypothesis import strategies as st
from xgrammar.testing import _is_grammar_accept_string

from tasks.engines.grammar import grammar
from tasks.judging.reading import find
from tasks.judging.rubric import HARM_SCHEMA, MAX_ANALYSIS_CHARS, PREFERENCE_SCHEMA
from tests.examples import examples

SCHEMAS = {"harm": HARM_SCHEMA, "overall": PREFERENCE_SCHEMA}
STRICT = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "anyOf",
    "items",
    "pattern",
    "minItems",
    "maxItems",
}
RULES = {name: xgrammar.Grammar.from_ebnf(grammar(json.dumps(schema))) for name, schema in SCHEMAS.items()}


def accepts(question: str, text: str) -> bool:
    return bool(_is_grammar_accept_string(RULES[question], text))


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for part in [*schema.get("properties", {}).values(), *schema.get("anyOf", []), schema.get("items")]:
        if part:
            yield from parts(part)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_schemas_keep_to_the_documented_strict_subset(schema: dict[str, Any]) -> None:
    assert schema["type"] == "object"
    for part in parts(schema):
        assert part.keys() <= STRICT
        assert "type" in part or "anyOf" in part
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


TAIL = '", "verdict": {"is_safe": true}}'


@pytest.mark.parametrize(
    ("analysis", "accepted"),
    [
        ("Plain é 😀.", True),
        (r"It says \"stop\".\nAnd \\ more.", True),
        (r"\"" * MAX_ANALYSIS_CHARS, True),
        (r"\"" * (MAX_ANALYSIS_CHARS + 1), False),
        ("a\tb", False),
        ("a\nb", False),
        ("\x00", False),
        (r"\q", False),
        ("\\", False),
        ('"', False),
    ],
)
def test_a_judge_can_quote_and_cannot_write_what_is_no_json(analysis: str, accepted: bool) -> None:
    text = f'{{"analysis": "{analysis}{TAIL}'
    assert accepts("harm", text) == accepted
    assert not accepted or find("harm", text, False)[1] is None


VERDICTS = st.builds(
    lambda analysis, level: (
        {"analysis": analysis, "verdict": {"is_safe": True}}
        if not level
        else {
            "analysis": analysis,
            "verdict": {"is_safe": False, "harm_category": ["Violence"], "severity_level": level},
        }
    ),
    st.text(max_size=MAX_ANALYSIS_CHARS),
    st.integers(0, 3),
)


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A verdict with a few characters changed."""
    text = json.dumps(draw(VERDICTS), ensure_ascii=False)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place]
            + draw(st.text(st.sampled_from('"\\\n\t{}[],: tnu0\x7f') | st.characters(), max_size=2))
            + text[place:]
        )
    return text.encode("utf-8", "replace").decode()


@examples(300)
@given(spoiled())
def test_what_the_grammar_accepts_is_read(text: str) -> None:
    if accepts("harm", text):
        assert find("harm", text, False)[1] is None
        json.loads(text)


def test_the_grammar_accepts_each_verdict() -> None:
    assert all(accepts("overall", f'{{"winner": "{winner}"}}') for winner in "AB")
    assert not accepts("overall", '{"winner": "C"}')
    unsafe = '{"analysis": "", "verdict": {"is_safe": false, "harm_category": ["Drugs"], "severity_level": 3}}'
    assert accepts("harm", unsafe)
    assert not accepts("harm", unsafe.replace("false", "true"))
    assert not accepts("harm", unsafe.replace('"Drugs"', ""))
