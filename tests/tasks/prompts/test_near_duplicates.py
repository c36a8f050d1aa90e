import re
from collections.abc import Sequence
from itertools import pairwise
from math import isclose
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import warehouse
from tasks.config import load
from tasks.identity import query
from tasks.prompts.near_duplicates import left_out
from tasks.prompts.prompts import build_prompts
from tasks.tables import PROMPTS, screened
from tests.conftest import write_config
from tests.tasks.rows import make

Found = dict[int, tuple[int, float]]


def found(texts: Sequence[str], threshold: float = 0.8) -> Found:
    """Which prompts are left out, by their place from 1 on: for which one, and how alike they are."""
    with warehouse.connect({}) as connection:
        connection.register("screened", make(screened(PROMPTS), [{"prompt": text} for text in texts]))
        near = connection.execute(query("near_texts"), {"threshold": threshold}).to_arrow_table()
    return {row["position"]: (row["earlier"], row["similarity"]) for row in left_out(near, threshold).to_pylist()}


def shingles(text: str) -> set[tuple[str, ...]]:
    """Three words in a row, told by Python alone."""
    words = re.findall(r"\w+", text.lower())
    if not words:
        return {(text.lower(),)}
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)} or {tuple(words)}


def alike(one: str, other: str) -> float:
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def one_by_one(texts: Sequence[str], threshold: float) -> Found:
    """The same by comparing each text with all that stay before it."""
    stays: list[int] = []
    told: Found = {}
    for at, text in enumerate(texts):
        similarity, other = max(((alike(text, texts[other]), -other) for other in stays), default=(0.0, 0))
        if similarity >= threshold:
            told[at + 1] = (1 - other, similarity)
        else:
            stays.append(at)
    return told


WORDS = st.lists(st.sampled_from(["a", "b", "c", "Dd", "e-f"]), max_size=9).map(" ".join)


@given(st.lists(WORDS | st.just("?!"), max_size=14), st.sampled_from([0.5, 0.6, 0.75, 0.8, 1.0]))
def test_what_is_found_is_what_comparing_all_texts_finds(texts: list[str], threshold: float) -> None:
    told, expected = found(texts, threshold), one_by_one(texts, threshold)
    assert {at: earlier for at, (earlier, _) in told.items()} == {at: earlier for at, (earlier, _) in expected.items()}
    assert all(isclose(told[at][1], expected[at][1]) for at in told)


BEGINNING = "Write a short and friendly letter to the neighbours in which you"
NEAR: dict[str, tuple[str, str]] = {
    "case and punctuation": ("How do I boil an egg?", "how do i boil an EGG"),
    "a word more": (f"{BEGINNING} ask them for help.", f"{BEGINNING} ask them for help, please."),
    "Chinese": (
        "请用简单的语言告诉我怎样在阳台上种植郁金香和浇水",
        "请用简单的语言告诉我怎样在阳台上种植郁金香和浇水吧",
    ),
    "Chinese without a comma": ("如何做面包，又快又好？", "如何做面包又快又好"),
    "Japanese": (
        "ベランダでチューリップを上手に育てる方法を教えてください",
        "ベランダでチューリップを上手に育てる方法を教えてくださいね",
    ),
    "Thai": ("ช่วยบอกวิธีปลูกดอกทิวลิปบนระเบียงและการรดน้ำให้หน่อย", "ช่วยบอกวิธีปลูกดอกทิวลิปบนระเบียงและการรดน้ำให้หน่อยนะ"),
    "Arabic": (
        "أخبرني من فضلك كيف أزرع أزهار التوليب على الشرفة وكيف أسقيها في الصيف",
        "أخبرني من فضلك كيف أزرع أزهار التوليب على الشرفة وكيف أسقيها في الصيف؟",
    ),
    "signs alone": ("?!…", "?!…"),
}
OTHERS: dict[str, tuple[str, str]] = {
    "a number": ("How do I plant 5 tulips?", "How do I plant 6 tulips?"),
    "a word of a short sentence": ("How do I water a tulip in spring?", "How do I water a rose in spring?"),
    "Chinese": ("请告诉我怎样种植郁金香", "请告诉我怎样烤面包"),
    "Japanese": ("チューリップの育て方を教えてください", "パンの焼き方を教えてください"),
    "Thai": ("วิธีปลูกดอกทิวลิป", "วิธีอบขนมปัง"),
    "Arabic": ("كيف أزرع التوليب؟", "كيف أخبز الخبز؟"),
    "signs alone": ("?!…", "…?!"),
    "emoji": ("🌷", "🍞"),
}


@pytest.mark.parametrize("name", NEAR)
def test_texts_that_are_nearly_the_same_are_found_in_every_script(name: str) -> None:
    assert found(NEAR[name]).keys() == {2}


@pytest.mark.parametrize("name", OTHERS)
def test_other_texts_are_not_however_short_they_are(name: str) -> None:
    assert not found(OTHERS[name])


def test_a_text_is_left_out_only_for_one_that_stays() -> None:
    words = [f"word{number}" for number in range(40)]
    chain = [" ".join(words[first : first + 30]) for first in range(0, 10, 2)]
    assert min(alike(one, other) for one, other in pairwise(chain)) >= 0.8
    told = found(chain)
    assert told
    assert not {earlier for earlier, _ in told.values()} & told.keys()
    assert all(alike(chain[at - 1], chain[earlier - 1]) >= 0.8 for at, (earlier, _) in told.items())


def test_copies_of_one_text_are_all_left_out_for_the_first() -> None:
    copies = [f"{BEGINNING} tell them of the {number % 40}th feast, and ask them to come." for number in range(1_000)]
    told = found(copies, 0.5)
    assert {earlier for earlier, _ in told.values()} == {1}
    assert len(told) == len(copies) - 1


def test_what_is_left_out_anyway_is_not_compared(tmp_path: Path) -> None:
    prompts = ["How do I boil an egg?", "How do I bake bread?", " ", "How do I boil an egg?", "how do I boil an EGG"]
    stage = build_prompts(load(str(write_config(tmp_path, prompts))), str(tmp_path / "tables"))
    rows = duckdb.read_parquet(stage.dropped.uri).order("id").to_arrow_table().to_pylist()
    assert [(row["id"], row["reason"], row["evidence"]) for row in rows] == [
        ("row 3", "blank", "line 3"),
        ("row 4", "duplicate", "line 4, same as row 1"),
        ("row 5", "near-duplicate", "line 5, 1.00 alike to row 1"),
    ]
