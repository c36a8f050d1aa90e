"""What a block took in tokens: what its engine told, and apart from it an estimate that is too high and not too low."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tasks.engines.blocks import commit
from tasks.engines.chat import TOO_LONG
from tasks.engines.openai.replies import read_reply
from tasks.engines.usage import AROUND, estimate, tokens
from tasks.tables import COMPLETIONS, REQUESTS, TOKENS
from tests.conftest import ROOT
from tests.examples import examples
from tests.tasks.engines.odd_replies import chat, says
from tests.tasks.languages import TEXTS
from tests.tasks.rows import Row, make

QUESTION, ANSWER, MOST = "When do tulips bloom?", "In spring, 🌷.", 40
ASKED = estimate(QUESTION) + AROUND
SAID = estimate(ANSWER)
CALL = chat({"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]})
FORMS = {
    "code": "for (int i = 0; i < rows.size(); ++i) {\n    total += rows[i].price * 1.19;\n}\n",
    "JSON": json.dumps({"is_safe": False, "harm_category": ["Drugs", "Violence"], "severity_level": 2}),
    "numbers": "1234567890 2026-11-30 3.14159, 27 of 54 (50.0%)",
    "numbers apart": "1 2 3 4 5 6 7 8 9 10 - 11 - 12",
    "signs": "((a) + [b]) * {c} ** -d != ~e; ... --- *** ### \\ | / _ _",
    "emoji": "🌷🌱🪴👩🏽‍🌾🧑‍🚀🇩🇪" * 4,
    "Burmese": "ပန်းကို ဘယ်အချိန်မှာ စိုက်ရမလဲ",
    "Amharic": "አበባዎችን መቼ መትከል አለብኝ?",
}


@pytest.fixture(scope="module")
def counted() -> Callable[[str], int]:
    """The tokens of a text to a model that knows little but English."""
    tokenizer = Tokenizer.from_file(str(ROOT / ".models/smollm2-135m-instruct/tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    "text", [*(" ".join(texts) for texts in TEXTS.values()), *FORMS.values()], ids=[*TEXTS, *FORMS]
)
def test_an_estimate_is_no_less_than_a_tokenizer_counts_and_not_many_times_more(
    counted: Callable[[str], int], text: str
) -> None:
    assert counted(text) <= estimate(text) <= 3.5 * counted(text)


@given(st.text(max_size=60), st.text(max_size=60))
@examples(20)
def test_an_estimate_grows_with_the_text_and_is_never_more_than_its_bytes(text: str, more: str) -> None:
    assert bool(text) <= estimate(text) <= estimate(text + more) <= estimate(text) + estimate(more)
    assert estimate(text) <= len(text.encode())


def block(*rows: Row) -> tuple[pa.Table, pa.Table]:
    """Completions, and the requests that they belong to, in another order."""
    asked = [{"request_id": str(at), "user": QUESTION, "max_tokens": MOST} for at in range(len(rows))]
    answered = [{"request_id": str(at)} | row for at, row in enumerate(rows)]
    return make(COMPLETIONS, answered), make(REQUESTS, asked[::-1])


def took(row: Row) -> tuple[int, ...]:
    return tuple(tokens(*block(row))[name] for name in TOKENS)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (says(ANSWER, {"prompt_tokens": 9, "completion_tokens": 5}), (9, 5, 0, 0)),
        (says(ANSWER, {"prompt_tokens": 9}), (9, 0, 0, SAID)),
        (says(ANSWER, {"prompt_tokens": 0, "completion_tokens": 5}), (0, 5, ASKED, 0)),
        (says(ANSWER, {"prompt_tokens": "9", "completion_tokens": True}), (0, 0, ASKED, SAID)),
        (says(ANSWER, {"total_tokens": 14}), (0, 0, ASKED, SAID)),
        (says(ANSWER, {}), (0, 0, ASKED, SAID)),
        (says(ANSWER, [9, 5]), (0, 0, ASKED, SAID)),
        (says(ANSWER), (0, 0, ASKED, SAID)),
        (says("", {"prompt_tokens": 9, "completion_tokens": 0}), (9, 0, 0, MOST)),
        (says("", finish_reason="max_tokens"), (0, 0, ASKED, MOST)),
        (chat({"content": None, "reasoning": "Hm."}), (0, 0, ASKED, MOST)),
        (chat({"content": None, "reasoning_content": "Hm."}), (0, 0, ASKED, MOST)),
        (chat({"role": "assistant"}, finish_reason="MAX_TOKENS"), (0, 0, ASKED, MOST)),
        (chat({"role": "assistant"}, finish_reason="SAFETY"), (0, 0, ASKED, 0)),
        (CALL, (0, 0, ASKED, MOST)),
        (CALL | {"usage": {"prompt_tokens": 9, "completion_tokens": 31}}, (9, 31, 0, 0)),
        ({"error": {"message": "broke"}, "usage": {"prompt_tokens": 9}}, (9, 0, 0, MOST)),
        ({"error": {"code": "content_filter"}}, (0, 0, ASKED, 0)),
        ({"error": {"code": "content_filter"}, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}, (9, 1, 0, 0)),
    ],
)
def test_what_a_reply_does_not_tell_is_estimated_apart_whether_it_is_an_answer_or_an_error(
    reply: object, told: tuple[int, ...]
) -> None:
    assert took(read_reply(200, json.dumps(reply).encode(), None, [])) == told


def test_a_request_that_failed_takes_as_much_as_it_could_have_and_one_that_was_not_sent_nothing() -> None:
    assert took({"error": "APITimeoutError (ReadTimeout)"}) == (0, 0, ASKED, MOST)
    assert took({"error": "InternalServerError (status 502): down"}) == (0, 0, ASKED, MOST)
    for error in (f"{TOO_LONG}: 9 tokens", "BadRequestError (status 400): no", "APIConnectionError (ConnectError)"):
        assert took({"error": error, "input_tokens": None}) == (0, 0, 0, 0)
    assert took({"error": f"{TOO_LONG}: 9 tokens", "input_tokens": 9}) == (0, 0, 0, 0)
    assert took({"error": f"{TOO_LONG} (status 400)", "input_tokens": 9, "output_tokens": 7}) == (9, 7, 0, 0)
    assert took({"completion": "", "finish_reason": "length"}) == (0, 0, ASKED, MOST)


def test_a_block_tells_the_sum_of_its_rows_and_one_of_embeddings_no_tokens(tmp_path: Path) -> None:
    rows: list[Row] = [{"completion": ANSWER, "input_tokens": 9, "output_tokens": 5}, {"completion": ANSWER}]
    answered, asked = block(*rows, {"completion": ANSWER, "output_tokens": 4})
    (said,) = commit(answered, str(tmp_path), asked).to_pylist()
    assert [said[name] for name in TOKENS] == [9, 9, 2 * ASKED, SAID]
    embedded = pa.table({"response_id": ["a"], "embedding": [[1.0]]})
    (said,) = commit(embedded, str(tmp_path), embedded).to_pylist()
    assert [said[name] for name in TOKENS] == [0, 0, 0, 0]
