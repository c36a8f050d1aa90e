from math import log

import pytest

from tasks.engines.chat import confidence, messages
from tasks.judging.rubric import HARM_DECISION, PREFERENCE_DECISION

SAID = [('{"', 1.0), ("is", 1.0), ('_safe": ', 0.9), ("fal", 0.8), ("se", 0.5), ("}", 0.1)]


def spelled(tokens: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(text, log(probability)) for text, probability in tokens]


def test_only_the_tokens_of_the_decision_count() -> None:
    assert confidence(HARM_DECISION, spelled(SAID)) == pytest.approx(0.4)


def test_a_token_that_shares_a_letter_with_the_decision_counts() -> None:
    tokens = spelled([('{"winner"', 1.0), (': "A', 0.5), ('"}', 0.25)])
    assert confidence(PREFERENCE_DECISION, tokens) == pytest.approx(0.5)


@pytest.mark.parametrize(("decision", "tokens"), [(None, SAID), (HARM_DECISION, []), (HARM_DECISION, [("{]", 1.0)])])
def test_without_a_decision_or_its_tokens_there_is_none(decision: str | None, tokens: list[tuple[str, float]]) -> None:
    assert confidence(decision, spelled(tokens)) is None


def test_an_empty_text_is_a_turn_and_none_is_not() -> None:
    asked = {"system": "", "user": "Do cats sleep?", "assistant": None}
    empty, user = ({"role": role, "content": asked[role]} for role in ("system", "user"))
    assert messages(asked) == [empty, user]
    assert messages(asked | {"system": None}) == [user]
