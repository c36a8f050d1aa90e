import json
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.engines.blocks import completions
from tasks.engines.chat import TOO_LONG
from tasks.engines.openai.replies import read_reply
from tasks.tables import COMPLETIONS, EMBEDDINGS, PROMPTS, REQUESTS, RESPONSES, screened
from tests.examples import examples
from tests.tasks.engines.odd_replies import says
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
P = sha256(b"p").hexdigest()
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


def screen(folder: Path, *answers: Mapping[str, object] | None) -> list[tuple[object, object]]:
    asked = [
        {"request_id": str(i), "subject_id": "p", "user": "p", "sample": i, "temperature": 1.0, "seed": i}
        for i in range(len(answers))
    ]
    answered = [
        {"finish_reason": "stop", "input_tokens": 1, "output_tokens": 1, "request_id": str(i), **answer}
        for i, answer in enumerate(answers)
        if answer is not None
    ]
    rows = select(
        screened(RESPONSES),
        folder,
        "screened_responses",
        {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)},
        responder="r",
    )
    return [(row["reason"], row["response"]) for row in sorted(rows, key=lambda row: int(str(row["id"])))]


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


ODD = '\t  \n\r\v\x85\xa0\u2028\u200b\u200d\ufeff\ufffd\x07\0e\u0301\xe9|`"<>[]\U0001f469\ud83d'


@given(st.lists(st.text(st.sampled_from(ODD) | st.characters(codec=None), max_size=12), max_size=30), st.data())
@example([f"\tfor bulb in bulbs:  \r\n\t\tplant(bulb)  # deep\n\n\n\n{GOOD} \n"], None)
@examples(8)
def test_what_is_kept_is_what_the_endpoint_said_but_for_what_no_text_can_hold(
    texts: list[str], drawn: st.DataObject | None
) -> None:
    ends = ["stop" if drawn is None else drawn.draw(st.sampled_from(["stop", "length"])) for _ in texts]
    replies = [json.dumps(says(text, finish_reason=end)).encode() for text, end in zip(texts, ends, strict=True)]
    answered = [read_reply(200, reply, None, []) | {"request_id": str(n)} for n, reply in enumerate(replies)]
    asked = [{"request_id": str(n), "subject_id": str(n), "user": "p", "sample": 0} for n in range(len(texts))]
    inputs = {"requests": make(REQUESTS, asked), "completions": completions(answered)}
    with tempfile.TemporaryDirectory() as folder:
        rows = select(screened(RESPONSES), Path(folder), "screened_responses", inputs, responder="r")
    for row in rows:
        whole = texts[int(row["id"])].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert (row["response"], row["response_id"]) == (whole, sha256(f"{P}{whole}".encode()).hexdigest())
        assert row["reason"] in {None, "blank", "garbled", "repeats itself", "unfinished thinking"}


def test_answers_that_differ_in_layout_alone_are_one_where_they_are_compared(tmp_path: Path) -> None:
    texts = [f"\t{GOOD}", f"{GOOD}  \n", f"{GOOD[:20]}\u200b{GOOD[20:]}", GOOD.replace(" ", "\xa0 "), f"{GOOD}\r\n\r\n"]
    found = screen(tmp_path, {"completion": GOOD}, *({"completion": text} for text in texts))
    assert found == [(None, GOOD), *(("duplicate", text) for text in texts)]


def test_half_a_character_ends_an_answer_that_was_cut_off_and_no_other(tmp_path: Path) -> None:
    found = screen(tmp_path, *({"completion": "给番茄浇水\ufffd", "finish_reason": end} for end in ("length", "stop")))
    assert [reason for reason, _ in found] == [None, "garbled"]


PAIRS = {
    "think": ("<think>", "</think>"),
    "thinking": ("<thinking>\n", "</thinking>"),
    "reasoning": ("<Reasoning>", "</Reasoning>"),
    "thought": ("<thought>", "</thought>"),
    "Mistral": ("[THINK]", "[/THINK]"),
    "Kimi": ("◁think▷", "◁/think▷"),
    "ByteDance": ("<seed:think>", "</seed:think>"),
    "Cohere": ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "OpenThinker": ("<|begin_of_thought|>\n\n", "<|end_of_thought|>"),
    "gpt-oss": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    "gpt-oss without its marks": ("analysis", "assistantfinal"),
    "MedGemma": ("<unused94>thought\n", "<unused95>"),
    "Claude": ("<antThinking>", "</antThinking>"),
    "its place behind": ("<|thought_start|>", "<|thought_end|>"),
}
THOUGHT = "They ask for tulips. Are bulbs safe? I think so."


@pytest.mark.parametrize("end", ["length", "stop"])
def test_thinking_without_an_end_is_left_out_and_what_follows_its_end_is_the_answer(tmp_path: Path, end: str) -> None:
    texts: dict[str, str | None] = {}
    for begins, ends in PAIRS.values():
        texts |= {
            f"{begins}{THOUGHT}": "unfinished thinking",
            f"\ufeff\n{begins}{THOUGHT} Yes.": "unfinished thinking",
            f"{begins}{THOUGHT}{ends}{begins}{THOUGHT}": "unfinished thinking",
            f"{begins}{THOUGHT}{ends}\n \n": "unfinished thinking" if end == "length" else "blank",
            f"{begins}{THOUGHT}{ends}\n\n{GOOD}": None,
            f"{begins}{THOUGHT}{ends}{GOOD} It began with {begins}": None,
        }
    texts |= {f"<think>{sign}{THOUGHT}": "unfinished thinking" for sign in '"“([#*'}
    found = screen(tmp_path, *({"completion": text, "finish_reason": end} for text in texts))
    assert found == [(reason, text) for text, reason in texts.items()]


@pytest.mark.parametrize(
    "begins", ["Here is my thought process:", "Here’s my thought process:", "Here are my reasoning steps:"]
)
def test_thinking_in_words_is_told_only_of_what_was_cut_off_before_it_ended(tmp_path: Path, begins: str) -> None:
    told = {
        f"{begins}\n\n{THOUGHT}": "unfinished thinking",
        f"{begins} {THOUGHT} Here is my response: plant th": None,
        f"<think>{THOUGHT} Here's my response: plant them deep. But wait": "unfinished thinking",
    }
    found = screen(tmp_path, *({"completion": text, "finish_reason": "length"} for text in told))
    assert found == [(reason, text) for text, reason in told.items()]
    assert screen(tmp_path, {"completion": f"{begins} {GOOD}"}) == [(None, f"{begins} {GOOD}")]


SPEAKING = [
    "```xml\n<think>\nHm.\n</think>\n```",
    "`<think>` begins it.",
    "<think> tags are what some models write first.",
    "<think> and </think>",
    "<think>, <thought> and [THINK] begin it.",
    "<think>-tags",
    "<think>: a tag.",
    "<think>…</think> holds thoughts.",
    "[THINK] is Mistral's.",
    "<|think|> is a token.",
    "</think> ends it.",
    "<thinker>Rodin</thinker>",
    "<reason>It rains.</reason>",
    "Here is my response: plant them deep.",
    "Here is my thought process, in short.",
    "<reflection>It rains.</reflection>",
    "<Thinking of you>",
    "[Thought] Good.",
    "[thinking] I wonder, said the bear.",
    "Analysis: good.",
    "analysisResult = compute(x)",
    "analysis\nThe bulbs are good.",
    "assistantfinal stands before it.",
    "ပန်းပင်ကို ရေလောင်းပါ။ <think> ဟု ရေးသည်။",
    "<think> هي علامة تبدأ التفكير.",
    "Think 🤔 <think> 👩\u200d🌾",
]


@pytest.mark.parametrize("end", ["length", "stop"])
def test_an_answer_that_speaks_of_thinking_is_no_thinking(tmp_path: Path, end: str) -> None:
    begun = [f"Some models write {begins} first; {GOOD}" for begins, _ in PAIRS.values()]
    ended = [f"Cut what stands before {ends}" for _, ends in PAIRS.values()]
    told = [*begun, *ended, *SPEAKING]
    assert screen(tmp_path, *({"completion": text, "finish_reason": end} for text in told)) == [
        (None, text) for text in told
    ]


def test_where_most_answers_only_end_their_thinking_one_that_was_cut_off_before_is_no_answer(tmp_path: Path) -> None:
    told = {
        THOUGHT: "unfinished thinking",
        f"{THOUGHT}\n</think>\n\n{GOOD[:30]}": None,
        f"{THOUGHT}</think>": "unfinished thinking",
        f"Hm </think> {GOOD[:50]}": None,
        f"<think>{THOUGHT}</think>{GOOD[:40]}": None,
    }
    cut = [{"completion": text, "finish_reason": "length"} for text in told]
    whole = {f"Hm. {n}\n</think>{GOOD}": None for n in range(3)} | {f"{THOUGHT} So.</think>\n": "blank", GOOD: None}
    found = screen(tmp_path, *cut, *({"completion": text} for text in whole))
    assert found == [(reason, text) for text, reason in (told | whole).items()]
    more = [{"completion": f"{THOUGHT} {n}", "finish_reason": "length"} for n in range(9)]
    found = screen(tmp_path, *more, *({"completion": text} for text in whole))
    assert {reason for reason, _ in found[: len(more)]} == {"unfinished thinking"}
    # Where few end it, what lacks a mark is an answer, however many were cut off.
    answers = [{"completion": f"{GOOD[:60]} {n}", "finish_reason": "length"} for n in range(3)]
    assert {reason for reason, _ in screen(tmp_path, *answers, {"completion": f"Hm.\n</think>{GOOD}"})} == {None}


def test_what_was_cut_off_before_it_said_anything_was_thinking(tmp_path: Path) -> None:
    cut = [{"completion": text, "finish_reason": "MAX_TOKENS"} for text in ("", " \n")]
    found = screen(tmp_path, *cut, {"completion": ""})
    assert [reason for reason, _ in found] == ["unfinished thinking", "unfinished thinking", "blank"]


def test_unfinished_thinking_makes_no_other_answer_a_duplicate(tmp_path: Path) -> None:
    whole = [{"completion": text} for text in (THOUGHT, *(f"{THOUGHT}</think>{GOOD[n:]}" for n in range(3)))]
    found = screen(tmp_path, {"completion": THOUGHT, "finish_reason": "length"}, *whole)
    assert [reason for reason, _ in found] == ["unfinished thinking", None, None, None, None]


def test_the_language_of_an_answer_stands_beside_it(tmp_path: Path) -> None:
    asked = [{"request_id": code, "subject_id": code, "user": "p", "sample": 0} for code in TEXTS]
    answered = [{"request_id": code, "completion": texts[1]} for code, texts in TEXTS.items()]
    inputs = {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)}
    rows = select(screened(RESPONSES), tmp_path, "screened_responses", inputs, responder="r")
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
    (row,) = select(screened(RESPONSES), tmp_path, "screened_responses", inputs, responder="r")
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
