"""What the gate takes for copies, by words and Arrow, beside what the stage keeps together, by letters and Python."""

import random
from itertools import combinations
from unicodedata import normalize

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.copies import copies
from tasks.functions import letters
from tests.tasks.languages import TEXTS
from tests.tasks.test_functions import DISTINCT_WORDS, NEAR_COPIES, PUNCTUATION

SENTENCES = st.sampled_from([text for texts in TEXTS.values() for text in texts])
ONLY_THE_STAGE = {"שָׁלוֹם עולם", "مَرحَباً بالعالم"}
"""Copies that the gate does not know: they differ in points, which Hebrew and Arabic may leave out."""
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def are_copies(one: str, other: str) -> bool:
    """Whether the gate takes one prompt for a copy of the other."""
    return bool(words_of(one) & words_of(other))


def words_of(text: str) -> set[object]:
    return set(copies(pa.array([text]))["words"].to_pylist())


@pytest.mark.parametrize(("one", "other"), [pair for pair in NEAR_COPIES if pair[0] not in ONLY_THE_STAGE])
def test_copies_are_found(one: str, other: str) -> None:
    assert are_copies(one, other)


@given(SENTENCES, st.sampled_from([str.upper, str.lower, str.title]), st.sampled_from(PUNCTUATION), st.randoms())
def test_a_sentence_in_another_case_form_and_order_is_found(
    text: str, change: type[str], mark: str, draw: random.Random
) -> None:
    words = change(normalize(draw.choice(["NFC", "NFD", "NFKC", "NFKD"]), text)).split()
    assert are_copies(text, f" {mark} ".join(draw.sample(words, len(words))))


@given(ANY_TEXT, st.sampled_from([str.upper, str.lower, str.title]), st.sampled_from(PUNCTUATION), st.integers(0, 20))
def test_what_is_a_copy_here_is_kept_together_by_the_stage(text: str, change: type[str], mark: str, place: int) -> None:
    other = change(text[:place] + mark + text[place:])
    assert letters(text) == letters(other) or not are_copies(text, other)


@pytest.mark.parametrize("words", DISTINCT_WORDS.values(), ids=DISTINCT_WORDS)
def test_distinct_words_are_no_copies(words: list[str]) -> None:
    read = [words_of(word) for word in words]
    assert not any(one & other for one, other in combinations(read, 2))
