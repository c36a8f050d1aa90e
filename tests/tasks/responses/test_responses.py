from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.engines.chat import TOO_LONG
from tasks.engines.replies import FILTERS
from tasks.tables import COMPLETIONS, EMBEDDINGS, PROMPTS, REQUESTS, RESPONSES, screened
from tests.examples import examples
from tests.tasks.languages import TEXTS
from tests.tasks.responses.forms import false_drops, found, misses
from tests.tasks.rows import Row, make, select

SAMPLING = {
    "responder": "r",
    "model": "m@1",
    "seed": 0,
    "system": None,
    "temperature": 0.7,
    "raised_temperature": 1.0,
    "samples": 3,
    "top_p": 1.0,
    "max_tokens": 64,
}
GOOD = "Plant the bulbs in autumn, twice as deep as they are tall, and water them once."


def requests(folder: Path, prompts: list[str], **changes: object) -> list[Row]:
    rows = make(PROMPTS, [{"prompt_id": prompt, "prompt": prompt} for prompt in prompts])
    return select(REQUESTS, folder, "response_requests", {"prompts": rows}, **(SAMPLING | changes))


def test_each_sample_is_one_request_with_its_own_seed(tmp_path: Path) -> None:
    rows = requests(tmp_path, ["a", "b"])
    assert len(rows) == len({row["request_id"] for row in rows}) == len({row["seed"] for row in rows}) == 8
    assert [row["temperature"] for row in rows if row["subject_id"] == "a"] == [0.7, 1.0, 1.0, 1.0]


def test_a_request_is_identified_by_what_it_is(tmp_path: Path) -> None:
    first = {row["request_id"] for row in requests(tmp_path, ["a"])}
    assert first == {row["request_id"] for row in requests(tmp_path, ["b", "a"]) if row["subject_id"] == "a"}
    for change in (
        {"responder": "s"},
        {"model": "m@2"},
        {"seed": 1},
        {"system": "Be brief."},
        {"top_p": 0.9},
        {"max_tokens": 65},
    ):
        assert first.isdisjoint(row["request_id"] for row in requests(tmp_path, ["a"], **change))


def screen(folder: Path, *answers: dict[str, object] | None) -> list[tuple[object, object]]:
    asked = [
        {"request_id": str(i), "subject_id": "p", "user": "p", "sample": i, "temperature": 1.0, "seed": i}
        for i in range(len(answers))
    ]
    answered = [
        {"finish_reason": "stop", "input_tokens": 1, "output_tokens": 1, "request_id": str(i)} | answer
        for i, answer in enumerate(answers)
        if answer is not None
    ]
    rows = select(
        screened(RESPONSES),
        folder,
        "screened_responses",
        {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)},
        responder="r",
        filters=list(FILTERS),
    )
    return [(row["reason"], row["response"]) for row in sorted(rows, key=lambda row: str(row["id"]))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("Ja.", None),
        (" \n\u200b ", "blank"),
        ("\ufffd\ufffd plant", "garbled"),
        ("#$%&/()=?*+~<>|{}[]^", "garbled"),
        ("?!", "garbled"),
        (f"{GOOD}\x00 Déjà vu.", "garbled"),
        ("the bulb " * 30, "repeats itself"),
    ],
)
def test_answers_that_are_no_answers_are_left_out_with_their_reason(
    tmp_path: Path, text: str, reason: str | None
) -> None:
    assert screen(tmp_path, {"completion": text})[0][0] == reason


def test_the_filter_knows_good_and_bad_answers_of_every_form() -> None:
    assert set(false_drops()) <= {"Morse code"}
    assert set(misses()) <= {"a loop with a counter", "text in a wrong encoding"}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), st.integers(8, 40))
@example("\x00\xa0", 8)
@examples(25)
def test_whatever_is_said_again_and_again_repeats_itself_or_is_garbled(text: str, times: int) -> None:
    said = f"{text}, bulb, " * max(times, 200 // len(text))
    assert found({"said": said})["said"] in {"repeats itself", "garbled"}


def test_the_language_of_an_answer_stands_beside_it(tmp_path: Path) -> None:
    asked = [{"request_id": code, "subject_id": code, "user": "p", "sample": 0} for code in TEXTS]
    answered = [{"request_id": code, "completion": texts[1]} for code, texts in TEXTS.items()]
    inputs = {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)}
    rows = select(screened(RESPONSES), tmp_path, "screened_responses", inputs, responder="r", filters=[])
    assert {row["id"]: row["language"] for row in rows} == {code: code for code in TEXTS}


def test_of_equal_answers_the_first_is_kept(tmp_path: Path) -> None:
    found = screen(tmp_path, {"completion": GOOD}, {"completion": f"  {GOOD.upper()}\n"}, {"completion": "Water them."})
    assert [reason for reason, _ in found] == [None, "duplicate", None]


def test_errors_and_silence_are_rows(tmp_path: Path) -> None:
    long: tuple[dict[str, object], ...] = (
        {"error": f"{TOO_LONG}: 9 tokens"},
        {"error": f"{TOO_LONG} (status 400): too long"},
    )
    found = screen(tmp_path, {"error": "out of memory"}, None, {"completion": GOOD}, *long)
    assert [reason for reason, _ in found] == ["engine error", "not answered", None, "too long", "too long"]


@pytest.mark.parametrize("word", ["content_filter", "SAFETY", "refusal", "Guardrail_Intervened", "content_filter: X"])
def test_what_a_filter_cut_off_or_refused_is_left_out_as_such(tmp_path: Path, word: str) -> None:
    said = ((GOOD, word), ("", word), ("Water them.", "end_turn"))
    answers: list[dict[str, object]] = [{"completion": text, "finish_reason": end} for text, end in said]
    assert [reason for reason, _ in screen(tmp_path, *answers)] == ["filtered", "filtered", None]


def test_what_a_filter_cut_off_makes_no_other_answer_a_duplicate(tmp_path: Path) -> None:
    ends = ("content_filter", "stop", "stop")
    answers: list[dict[str, object]] = [{"completion": GOOD, "finish_reason": end} for end in ends]
    assert [reason for reason, _ in screen(tmp_path, *answers)] == ["filtered", None, "duplicate"]


def test_no_tokens_are_an_unknown_number_of_them(tmp_path: Path) -> None:
    asked = [{"request_id": "r", "subject_id": "p", "user": "p", "sample": 0}]
    answered = [{"request_id": "r", "completion": GOOD, "input_tokens": 0, "output_tokens": 0}]
    inputs = {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)}
    (row,) = select(screened(RESPONSES), tmp_path, "screened_responses", inputs, responder="r", filters=[])
    assert row["input_tokens"] is row["output_tokens"] is None


def test_the_first_good_answer_and_the_least_similar_alternatives_are_kept(tmp_path: Path) -> None:
    vectors = {0: [0.0, 1.0], 1: [1.0, 0.0], 2: [0.9, 0.1], 3: [0.0, 1.0], 4: [0.6, 0.6]}
    rows = [
        {"id": str(i), "request_id": str(i), "response_id": f"x{i}", "prompt_id": "p", "responder": "r", "sample": i}
        | {"reason": "garbled" if i == 0 else None}
        for i in vectors
    ]
    cut = {1: False, 2: True, 3: True}
    embeddings = [{"response_id": f"x{i}", "embedding": vector, "is_cut": cut.get(i)} for i, vector in vectors.items()]
    inputs = {"screened": make(screened(RESPONSES), rows), "embeddings": make(EMBEDDINGS, embeddings)}
    kept = select(screened(RESPONSES), tmp_path, "diverse_responses", inputs, alternatives=2)
    assert {row["id"]: row["reason"] for row in kept} == {
        "0": "garbled",
        "1": None,
        "2": "less diverse",
        "3": None,
        "4": None,
    }
    assert {row["id"]: row["embedded_in_part"] for row in kept} == {str(i): cut.get(i) for i in vectors}
