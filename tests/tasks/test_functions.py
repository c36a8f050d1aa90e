import random
from collections.abc import Callable
from itertools import combinations
from unicodedata import category, normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import warehouse
from tasks.functions import LANGUAGES, language, letters, novelty
from tests.tasks.languages import TEXTS

INVISIBLE = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\u2066\u2069\ufeff\ufe0f\x07\x85"
PUNCTUATION = ".,;:!?'\"-()[]/\\*_&@#%’‘“”«»–—…،؟।、。，・！？「」"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LETTERS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
SENTENCES = st.sampled_from([text for texts in TEXTS.values() for text in texts])
PLACE = st.integers(0, 200)

NEAR_COPIES = [
    ("What's the time?", "whats the TIME"),
    ("What’s the time?", "What's the time?"),
    ("Is rock 'n' roll dead?", "is Rock’n’Roll dead"),
    ("my e-mail, please", "my email please"),
    ("well-known in the U.S.", "well known in the US"),
    ("bread and/or milk,eggs", "bread and or milk, eggs"),
    ("10,000 eggs", "10000 eggs"),
    ("Où est le café ?", "OU EST LE CAFE?"),
    ("Cafe\u0301 noir", "caf\u00e9 noir"),
    ("Wie groß ist die Straße?", "WIE GROSS IST DIE STRASSE?"),
    ("ΠΟΙΟΣ ΕΙΝΑΙ Ο ΔΡΟΜΟΣ;", "ποιος είναι ο δρόμος;"),
    ("Ещё о чём?", "еще о чем"),
    ("комп'ютер", "комп’ютер"),
    ("комп'ютер", "комп\u02bcютер"),
    ("ISI nedir?", "ısı nedir?"),
    ("İstanbul nerede", "istanbul nerede"),
    ("ｗｈａｔ　ｎｏｗ？", "What now?"),
    ("ﬁnd the oﬃce", "find the office"),
    ("ｶﾞﾗｽの作り方", "ガラスの作り方"),
    ("今天天气怎么样", "天气今天，怎么样？"),
    ("如何做面包，又快又好？", "如何做面包又快又好?"),
    ("東京は どこですか", "どこですか、東京は"),
    ("แมวกินปลา", "ปลา กินแมว"),
    ("שָׁלוֹם עולם", "שלום עולם"),
    ("مَرحَباً بالعالم", "مرحبا بالعالم"),
    ("کتاب‌ها کجاست", "کتابها کجاست؟"),
    ("I ❤️ tea", "I ❤ tea"),
]
DISTINCT_WORDS = {
    "Hindi": ["कल", "काल", "कला", "कुल", "कूल", "किला", "कील", "कोल", "बल", "बाल", "बिल"],
    "Bengali": ["মন", "মান", "মানা", "মিনা", "দিন", "দান", "দীন"],
    "Tamil": ["கல", "கால", "கலா", "கில", "கீல"],
    "Thai": ["มา", "ม้า", "หมา", "เสือ", "เสื่อ", "เสื้อ", "ขาว", "ข่าว", "ข้าว"],
    "Japanese": ["はは", "ばば", "ぱぱ", "かき", "がき", "かぎ", "ビル", "ビール", "ヒル"],
    "Khmer": ["កា", "កិ", "កី", "កុ", "កូ"],
    "Korean": ["물", "불", "뿔", "풀", "말", "발"],
    "Chinese": ["买", "卖", "日", "目", "人", "入"],
    "emoji": ["👍", "👎", "❤️", "🎉", "?!", "!?!"],
}


@pytest.mark.parametrize(("one", "other"), NEAR_COPIES)
def test_copies_have_the_same_letters(one: str, other: str) -> None:
    assert letters(one) == letters(other)


@pytest.mark.parametrize("words", DISTINCT_WORDS.values(), ids=DISTINCT_WORDS)
def test_words_that_differ_in_a_mark_that_is_a_letter_have_different_letters(words: list[str]) -> None:
    assert all(letters(one) != letters(other) for one, other in combinations(words, 2))


@given(ANY_TEXT)
def test_case_is_no_difference(text: str) -> None:
    changes: list[Callable[[str], str]] = [str.upper, str.lower, str.title, str.casefold, str.swapcase, str.capitalize]
    assert {letters(change(text)) for change in changes} == {letters(text)}


@given(ANY_TEXT)
def test_width_and_the_form_of_unicode_are_no_difference(text: str) -> None:
    forms = ("NFC", "NFD", "NFKC", "NFKD")
    assert {letters(normalize(form, text)) for form in forms} == {letters(text)}  # type: ignore[arg-type]


@given(LETTERS, st.sampled_from(PUNCTUATION + INVISIBLE + " \n\u3000"), PLACE)
def test_punctuation_blanks_and_invisible_characters_are_no_difference(text: str, more: str, place: int) -> None:
    place %= len(text) + 1
    assert letters(text[:place] + more + text[place:]) == letters(text)


@given(st.lists(LETTERS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_word_order_is_no_difference(words: list[str], draw: random.Random) -> None:
    assert letters(" ".join(words)) == letters(" ".join(draw.sample(words, len(words))))


@given(ANY_TEXT, ANY_TEXT)
def test_texts_without_a_letter_are_told_apart(one: str, other: str) -> None:
    bare = ["".join(c for c in normalize("NFKC", text) if category(c)[0] in "PS") for text in (one, other)]
    if all(bare) and not any(letters(text)[0].isalnum() for text in bare):
        assert (letters(bare[0]) == letters(bare[1])) == (normalize("NFKC", bare[0]) == normalize("NFKC", bare[1]))


@given(ANY_TEXT)
def test_any_text_has_a_known_language_or_none(text: str) -> None:
    assert language(text) in {None, *LANGUAGES}


@pytest.mark.parametrize("code", TEXTS)
def test_the_language_of_a_sentence_is_told(code: str) -> None:
    assert {language(text) for text in TEXTS[code][:2]} == {code}


@pytest.mark.parametrize("text", ["Ja.", "A.", "42", "👍", "", '{"a": 1}', "x" * 300, "?!", "def f(x):\n  return x"])
def test_the_language_of_next_to_nothing_is_not_told(text: str) -> None:
    assert language(text) is None


def test_characters_that_the_library_refuses_cost_a_text_nothing() -> None:
    assert language("The bell \x07 rings\ufffe in the house \U0010ffff every night.") == "en"


@given(ANY_TEXT, st.integers(1, 50))
def test_the_more_often_a_text_is_said_the_less_of_it_is_new(text: str, times: int) -> None:
    assert 0 < novelty(text * (times + 1)) <= novelty(text * times) <= 1 or len(text) * times < 16


CONNECTION = warehouse.connect({})


def normalised(text: str) -> str:
    """The text as it stands in a release."""
    ((found,),) = CONNECTION.execute("SELECT normalise_text($text)", {"text": text}).fetchall()
    return str(found)


@settings(max_examples=50)
@given(st.lists(ANY_TEXT, min_size=20, max_size=20).map("x".join))
def test_a_normalised_text_stays_as_it_is(text: str) -> None:
    once = normalised(text.replace("\x00", ""))
    assert normalised(once) == once


@settings(max_examples=50)
@given(st.one_of(SENTENCES, LETTERS), st.sampled_from("\u00ad\u200b\u200e\u202e\u2060\ufeff\x07"), PLACE)
def test_a_character_that_shows_nothing_makes_no_other_prompt(text: str, more: str, place: int) -> None:
    place %= len(text) + 1
    assert normalised(text[:place] + more + text[place:]) == normalised(text)


@pytest.mark.parametrize("more", INVISIBLE.replace("\x85", ""))
def test_an_invisible_character_in_a_word_is_taken_out(more: str) -> None:
    assert normalised(f"hel{more}lo wor{more}{more}ld{more}") == "hello world"


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "क्\u200dष",
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "🏴\U000e0067\U000e0062\U000e007f",
        "1\ufe0f\u20e3",
        "葛\U000e0100",
    ],
)
def test_a_joiner_or_a_variant_that_can_be_seen_stays(text: str) -> None:
    assert normalised(f"{text} and {text}") == f"{text} and {text}"


def test_emoji_that_python_does_not_know_yet_are_no_letters() -> None:
    assert letters("Write a letter \U0001fa77") == letters("Write a letter")
