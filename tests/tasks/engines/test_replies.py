"""Whatever an endpoint replies is a row that Arrow and Parquet hold, and no error quotes the request."""

import html
import io
import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import warehouse
from tasks.engines.blocks import completions
from tasks.engines.openai import replies
from tasks.engines.openai.replies import (
    CUT,
    FILTERED,
    FILTERS,
    MOST_CHARACTERS,
    may_ask_no_more,
    read_fault,
    read_reply,
)
from tasks.identity import macro_definitions
from tests.tasks.engines import odd_replies
from tests.tasks.engines.odd_replies import BROKEN_OFF, CUT_OFF, chat, says


def describe(fault: str, status: int, body: bytes, hidden: Sequence[str]) -> str:
    """A fault in the words of such a reply."""
    return replies.describe(fault, status, replies.words(status, replies.parsed(body), body), hidden)


ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def an(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object in which each field is there, is missing, or is anything; or anything in its place."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()}) | JSON


PART = an(type=st.sampled_from(["text", "refusal", "thinking"]), text=ANY_TEXT, refusal=ANY_TEXT)
MESSAGE = an(content=ANY_TEXT | st.lists(PART, max_size=4), refusal=ANY_TEXT, tool_calls=st.lists(JSON, max_size=2))
TOKEN = an(token=ANY_TEXT, logprob=st.floats())
CHOICE = an(message=MESSAGE, finish_reason=ANY_TEXT, logprobs=an(content=st.lists(TOKEN, max_size=4)))
USAGE = an(prompt_tokens=st.integers() | st.floats(), completion_tokens=st.integers())
REPLY = an(choices=st.lists(CHOICE, max_size=3), usage=USAGE, error=an(message=ANY_TEXT), message=ANY_TEXT, detail=JSON)
BODY = st.binary(max_size=200) | st.builds(lambda reply: json.dumps(reply).encode(), REPLY)


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """The row as a reader of the store finds it."""
    sink = io.BytesIO()
    pq.write_table(completions([row | {"request_id": "a"}]), sink)
    (found,) = pq.read_table(sink).to_pylist()
    return dict(found)


@given(st.integers(100, 999), BODY, st.sampled_from([None, "(a|b)", ".*?(.)"]))
def test_any_reply_is_an_answer_or_an_error_that_the_store_holds(
    status: int, body: bytes, decision: str | None
) -> None:
    row = read_reply(status, body, decision, ["a key", "How do I plant tulips?"])
    found = kept(row)
    assert (found["completion"] is None) != (found["error"] is None)
    assert {name: found[name] for name in row} == row
    assert found["confidence"] is None or 0 <= found["confidence"] <= 1
    assert all(found[name] is None or found[name] >= 0 for name in ("input_tokens", "output_tokens"))


@given(ANY_TEXT)
def test_an_answer_is_kept_as_it_is_but_for_what_no_text_can_hold(text: str) -> None:
    found = read_reply(200, json.dumps(says(text)).encode(), None, [])
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert found["completion"] == whole


@pytest.mark.parametrize("word", ["stop", "eos_token", "end_turn", "COMPLETE", "tool_calls", "stop_sequence", "", None])
def test_an_end_by_itself_is_neither_cut_off_nor_filtered_nor_broken(word: str | None) -> None:
    assert ends(word) == (False, False)
    assert read(says("Plant them d", finish_reason=word))["completion"] == "Plant them d"


@pytest.mark.parametrize("word", CUT_OFF)
def test_an_answer_that_was_cut_off_is_told_by_its_word_everywhere(word: str) -> None:
    assert ends(word) == (True, False)
    assert read(says("Plant them d", finish_reason=word))["completion"] == "Plant them d"
    assert read(chat({"role": "assistant"}, finish_reason=word))["completion"] == ""


@pytest.mark.parametrize("word", odd_replies.FILTERED)
def test_an_answer_that_a_filter_cut_off_is_told_by_its_word_everywhere(word: str) -> None:
    assert ends(word) == (False, True)
    assert read(chat({"role": "assistant"}, finish_reason=word))["completion"] == ""


@pytest.mark.parametrize("word", BROKEN_OFF)
def test_what_broke_is_an_error_and_no_whole_answer(word: str) -> None:
    row = read(says("Plant them d", finish_reason=word))
    assert row["error"].startswith("error (status 200)")
    assert "completion" not in row


def ends(word: str | None) -> tuple[bool, bool]:
    """Whether queries take it for a word of what was cut off, and of what was filtered."""
    with warehouse.connect({}) as connection:
        (found,) = connection.execute("SELECT is_cut($word), is_filtered($word)", {"word": word}).fetchall()
    return found[0], found[1]


def test_queries_know_the_words_for_the_ends_of_answers_that_the_reader_of_replies_knows() -> None:
    assert f"'{CUT}'" in macro_definitions()
    assert f"'{FILTERS}'" in macro_definitions()


def read(reply: object, status: int = 200, hidden: Sequence[str] = ()) -> dict[str, Any]:
    """What is read of a reply."""
    body = json.dumps(reply).encode()
    return read_reply(status, body, None, hidden) if status < 300 else read_fault("Refused", status, body, hidden)


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (400, {"error": {"code": "SensitiveContentDetected.Violence", "message": "-"}}),
        (400, {"error": {"code": "InputTextRiskDetection", "message": "-"}}),
        (400, {"error": {"code": "sensitive_words_detected", "message": "-"}}),
        (400, {"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
        (400, {"error": {"type": "x", "message": "The request was rejected because it was considered high risk"}}),
        (400, {"error": {"type": "x", "message": "Input data may contain inappropriate content."}}),
        (400, {"error": {"message": "Your request was rejected as a result of our safety system."}}),
        (400, {"error": {"message": "Prompt was blocked by Model Armor", "status": "INVALID_ARGUMENT"}}),
        (403, {"error": "The prompt was flagged; see the usage policies."}),
        (403, {"error": "Blocked by your organization's policy: content policy"}),
        (446, {"error": {"type": "hooks_failed", "message": "The guardrail checks failed"}}),
        (451, {"error": {"type": "censorship_blocked", "message": "-"}}),
        (200, {"code": "data_inspection_failed", "message": "-"}),
        (200, {"prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}, "choices": None}),
        (200, {"input_sensitive": True, "choices": []}),
        (200, says("", content_filter_results={"violence": {"filtered": True}})),
    ],
)
def test_what_was_refused_for_what_it_says_is_filtered_and_not_asked_again(status: int, reply: object) -> None:
    row = read(reply, status)
    assert (row.get("completion"), row.get("finish_reason"), row.get("error")) == ("", FILTERED, None)


def test_what_a_guardrail_put_in_place_of_an_answer_is_no_answer_by_itself() -> None:
    assert ends(read(says("Sorry.") | {"amazon-bedrock-guardrailAction": "INTERVENED"})["finish_reason"])[1]
    assert read(says("Yes.") | {"amazon-bedrock-guardrailAction": "NONE"})["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [], "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
        {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": False}}}]},
        {"choices": [], "code": 0, "message": "-"},
        {"choices": [], "filtered": "true"},
    ],
)
def test_nothing_without_a_word_of_a_filter_is_an_error(reply: object) -> None:
    assert read(reply)["error"] == "no choices (status 200)"


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (429, {"error": "Insufficient Balance"}),
        (402, {"detail": "pay"}),
        (429, {"detail": "Insufficient credits"}),
        (403, {"detail": {"msg": "Your account is suspended for our content policy"}}),
        (403, {"error": {"code": "account_deactivated", "message": "It broke our usage policies."}}),
        (403, {"error": {"message": "Your access was suspended because of our usage policy.", "code": None}}),
        (403, {"error": {"message": "Your access was terminated due to violation of our usage policies"}}),
        (400, {"error": {"message": "This organization has been disabled.", "type": "invalid_request_error"}}),
        (403, {"error": {"message": "-", "status": "DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}),
        (403, {"error": {"code": "AccountOverdueError", "message": "-"}}),
        (403, {"error": {"code": "AllocationQuota.FreeTierOnly", "message": "-"}}),
        (403, {"error": {"code": "insufficient_user_quota", "message": "-"}}),
        (412, {"error": "Account acme is suspended, possibly due to reaching the monthly spending limit"}),
        (429, {"error": "Your team has either used all available credits or reached its monthly spending limit."}),
        (429, {"error": {"message": "Rate limit reached on tokens per day (TPD): Limit 1000", "type": "tokens"}}),
        (429, {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
        (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
        (429, {"errors": [{"message": "you have used up your daily free allocation", "code": 4006}]}),
        (429, {"error": {"code": "1113", "message": "-"}}),
        (200, {"code": 402, "message": "-"}),
        (200, {"code": "InsufficientBalance", "message": "-"}),
    ],
)
def test_who_is_let_in_no_more_is_told_so_wherever_a_reply_says_it(status: int, reply: object) -> None:
    assert read(reply, status)["error"].startswith(f"no access (status {status})")
    assert status in (200, 402) or may_ask_no_more(status, json.dumps(reply).encode())


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (429, {"error": {"message": "Rate limit reached on requests per minute (RPM): Limit 3", "type": "requests"}}),
        (429, {"error": "At most 20 requests per minute and 1000 per day."}),
        (
            429,
            {"error": {"message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"}},
        ),
        (400, {"error": "At most 5 files per day."}),
        (400, {"error": "This project may be disabled soon."}),
        (400, {"error": "The input text of this account was blocked by a wall."}),
        (503, {"error": "The project database is locked."}),
        (500, {"error": "The key service is suspended."}),
    ],
)
def test_what_passes_or_is_said_of_something_else_shuts_nobody_out(status: int, reply: object) -> None:
    assert not read(reply, status).get("error", "").startswith("no access")
    assert not may_ask_no_more(status, json.dumps(reply).encode())


def test_what_a_refusal_quotes_of_the_request_shuts_nobody_out() -> None:
    prompt = "Write a notice that our account is suspended: insufficient balance, see the spending limit."
    row = read({"error": {"message": f"cannot parse: {prompt}"}}, 400, [prompt])
    assert row["error"].startswith("Refused (status 400): cannot parse: …")


@given(st.integers(300, 599), st.text(st.characters(codec="utf-8"), max_size=400))
def test_the_words_of_an_error_are_one_short_line(status: int, words: str) -> None:
    said = describe("Refused", status, words.encode(), [])
    assert said.startswith(f"Refused (status {status})")
    assert len(said) <= len(f"Refused (status {status}): ") + MOST_CHARACTERS
    assert not any(unicodedata.category(character)[0] == "C" for character in said)
    assert "\n" not in said


ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "as JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "as Python writes it": repr,
    "as bytes": lambda text: repr(text.encode()),
    "as HTML": html.escape,
    "in a URL": quote,
    "shouting": str.upper,
    "without blanks": lambda text: "".join(text.split()),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "its beginning": lambda text: f"{text[: len(text) // 2]}...",
}
PROMPTS = [
    "How do I plant tulips, and when should I water them?",
    'My café\'s "menu" says:\n- tea\n- cake\n- tulips\nWhat is missing there, please?',
    "春天什么时候种郁金香最好 应该怎么浇水 多久浇一次 在阳台上也可以吗",
    "Когда лучше сажать тюльпаны и как часто их поливать?",
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_error_does_not_quote_the_request_however_the_endpoint_wrote_it(echo: str, prompt: str) -> None:
    quoted = ECHOES[echo](prompt)
    for body in (f"Invalid input: {quoted} is refused", json.dumps({"error": {"message": f"Refused: {quoted}"}})):
        said = describe("Refused", 400, body.encode(), ["a key", prompt])
        words = [word for word in prompt.split() if len(word) > 3]
        assert not any(word.lower() in said.lower() for word in words), said
        assert "nvalid input" in said or "Refused:" in said


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"], codec="utf-8"), min_size=12, max_size=60))
def test_no_long_piece_of_the_request_is_in_an_error(prompt: str) -> None:
    said = describe("Refused", 400, json.dumps({"error": f"no: {prompt} (of yours)"}).encode(), [prompt])
    length = 12
    spelled = "".join(c for c in unicodedata.normalize("NFKD", prompt).casefold() if c.isalnum())
    left = "".join(c for c in unicodedata.normalize("NFKD", said).casefold() if c.isalnum())
    assert not any(spelled[at : at + length] in left for at in range(len(spelled) - length + 1))


def test_words_that_quote_nothing_stay() -> None:
    words = "Unsupported value: 'temperature' does not support 0.7 with this model."
    body = json.dumps({"error": {"message": words, "type": "invalid_request_error"}}).encode()
    assert describe("BadRequestError", 400, body, [*PROMPTS, "hi"]) == f"BadRequestError (status 400): {words}"


def test_the_key_is_in_no_error() -> None:
    body = json.dumps({"error": "wrong key sk-Abcdef123456"}).encode()
    assert describe("AuthenticationError", 401, body, ["sk-Abcdef123456"]) == (
        "AuthenticationError (status 401): wrong key …"
    )


def test_an_answer_in_another_form_is_in_no_error() -> None:
    for reply in ({"response": "Plant them."}, {"message": "Plant them."}, ["Plant them."], "Plant them."):
        assert "Plant" not in read_reply(200, json.dumps(reply).encode(), None, [])["error"]
    assert "Plant" not in read_reply(200, json.dumps(says("Plant them deep.")).encode()[:-9], None, [])["error"]


def test_alike_errors_of_several_requests_are_told_alike() -> None:
    said = {
        describe("RateLimitError", 429, f"too many, request req_{number:024x}".encode(), [f"Question {number}?"])
        for number in range(3)
    }
    assert said == {"RateLimitError (status 429): too many, request …"}


@pytest.mark.parametrize(
    "row",
    [
        {"completion": "\ud83d"},
        {"completion": ["Plant"]},
        {"completion": b"\xff"},
        {"input_tokens": 2**70},
        {"output_tokens": "many"},
        {"confidence": "sure"},
        {"seconds": math.nan, "finish_reason": {"why": 1}},
    ],
)
def test_a_row_that_cannot_be_kept_is_an_error_and_costs_no_other(row: dict[str, object]) -> None:
    good = {"request_id": "b", "completion": "Plant them.", "seconds": math.nan}
    first, second = completions([{"request_id": "a", "output_tokens": 1} | row, good]).to_pylist()
    assert first["request_id"] == "a"
    assert first["completion"] is first["output_tokens"] is None
    assert first["error"]
    assert second["completion"] == "Plant them."


@pytest.mark.parametrize("words", ["a" * 1_000_000, "a-" * 20_000, "\\" * 40_000])
@pytest.mark.timeout(30)
def test_long_words_of_a_reply_hold_nobody_up(words: str) -> None:
    said = describe("x", 500, json.dumps({"error": {"message": words}}).encode(), ["k12345"])
    assert len(said) < 400


def test_a_fault_beside_a_text_is_an_error_and_not_an_answer() -> None:
    choice = {"message": {"content": "part"}, "finish_reason": "error"}
    for reply in (
        *(
            {"choices": [choice | {"finish_reason": word}]}
            for word in ("insufficient_system_resource", "network_error", "TIMEOUT")
        ),
        {"choices": [choice]},
        {"error": {"message": "quota"}, "choices": [choice | {"finish_reason": "stop"}]},
    ):
        assert read_reply(200, json.dumps(reply).encode(), None, [])["error"].startswith("error (status 200)")


def test_a_prompt_in_signs_that_are_words_is_not_quoted() -> None:
    prompt = "\u8bf7\u544a\u8bc9\u6211\u5982\u4f55\u70e4\u9762\u5305"
    body = json.dumps({"error": {"message": f"refused: {prompt[3:]}"}}, ensure_ascii=False).encode()
    said = describe("x", 400, body, [prompt])
    assert prompt[5:] not in said


def test_a_fault_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes | str] = []
    parse = replies.parsed

    def parsed(body: bytes | str) -> object:
        bodies.append(body)
        return parse(body)

    monkeypatch.setattr(replies, "parsed", parsed)
    body = json.dumps({"error": {"message": "no such model", "code": "model_not_found"}}).encode()
    assert read_fault("NotFoundError", 404, body, [])["error"] == "NotFoundError (status 404): no such model"
    assert bodies == [body]
