import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engines.openai import OpenAI
from tasks.engines.openai.answering import EndpointEngine
from tasks.errors import ModelError
from tasks.identity import digest
from tasks.tables import COMPLETIONS, REQUESTS, Ref
from tasks.work.answering import Answering
from tasks.work.job import RunJob
from tasks.work.store import Work, obtain
from tests.conftest import KEY_VARIABLE
from tests.tasks.engines.endpoint_server import Endpoint, endpoint
from tests.tasks.engines.odd_replies import ANSWERS, ERRORS, ODD, SHUT_OUT, http
from tests.tasks.rows import make, read

PATIENCE = 60
"""Seconds that a reply may take. Those that must not come in time have a clock that is put forward."""
TURNS = 100
"""Of a loop, after which the client has taken what was sent to it and waits again."""


@pytest.fixture
def served() -> Iterator[Endpoint]:
    with endpoint() as running:
        yield running


def model(served: Endpoint, **values: Any) -> OpenAI:
    settings = {"requests_per_minute": 60_000, "timeout_seconds": PATIENCE, "retries": 3, "block_rows": 4} | values
    return OpenAI(kind="openai", base_url=served.url, model="m", key_variable=KEY_VARIABLE, **settings)


def requests(*questions: str, **values: Any) -> pa.Table:
    defaults = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 11} | values
    return make(REQUESTS, [{"request_id": q, "user": q} | defaults for q in questions])


def ask(served: Endpoint, *questions: str, decision: str | None = None, **values: Any) -> dict[str, dict[str, Any]]:
    engine = EndpointEngine(model(served, **values))
    return by_question(asyncio.run(engine(requests(*questions, decision=decision))))


def by_question(answered: pa.Table) -> dict[str, dict[str, Any]]:
    assert answered.schema == COMPLETIONS.schema
    return {row["request_id"]: row for row in answered.to_pylist()}


class Forward(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward, by so many seconds so far."""

    seconds = 0.0

    def time(self) -> float:
        return super().time() + self.seconds


class Heard(EndpointEngine):
    """An engine of which each answer is heard as soon as it is there."""

    def __init__(self, endpoint: OpenAI, hear: Callable[[str], None]) -> None:
        super().__init__(endpoint)
        self.hear = hear

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answered = await super().answer(request)
        self.hear(request["user"])
        return answered


def give_up(served: Endpoint, question: str, seconds: float) -> dict[str, dict[str, Any]]:
    """What becomes of a question and of "hello" beside it. Once hello is answered, the client waits for so many seconds
    each time that the server holds the other reply back."""
    loop, answered = Forward(), Event()

    def put_forward(turns: int, done: Event) -> None:
        if turns:
            loop.call_soon(put_forward, turns - 1, done)
            return
        loop.seconds += seconds
        done.set()

    def hold() -> None:
        done = Event()
        answered.wait()
        with suppress(RuntimeError):  # the client has left
            loop.call_soon_threadsafe(put_forward, TURNS, done)
            done.wait(PATIENCE)

    served.on_hold = hold
    engine = Heard(model(served, retries=1), lambda asked: answered.set() if asked == "hello" else None)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return by_question(runner.run(engine(requests(question, "hello"))))


def test_an_answer_carries_its_tokens_and_the_request_its_sampling(served: Endpoint) -> None:
    answered = ask(served, "hello")["hello"]
    assert (answered["completion"], answered["finish_reason"], answered["error"]) == ("re: hello", "stop", None)
    assert (answered["input_tokens"], answered["output_tokens"]) == (3, 2)
    (body,) = served.bodies
    assert {name: body[name] for name in ("model", "temperature", "top_p", "max_tokens", "seed")} == {
        "model": "m",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 11,
    }
    assert served.keys == {"Bearer a-key-of-tests"}


def test_a_schema_and_a_system_message_reach_the_endpoint(served: Endpoint) -> None:
    engine = EndpointEngine(model(served))
    asyncio.run(engine(requests("hello", system="be brief", json_schema='{"type": "object"}')))
    (body,) = served.bodies
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_decision_comes_with_the_probability_of_its_tokens(served: Endpoint) -> None:
    decision = "re: (yes|no)"
    (sure,) = asyncio.run(EndpointEngine(model(served))(requests("yes", decision=decision))).to_pylist()
    assert sure["confidence"] == pytest.approx(0.75)
    (other,) = asyncio.run(EndpointEngine(model(served))(requests("perhaps", decision=decision))).to_pylist()
    assert other["confidence"] is None
    (without,) = asyncio.run(
        EndpointEngine(model(served, logprobs=False))(requests("yes", decision=decision))
    ).to_pylist()
    assert without["confidence"] is None
    assert [body.get("logprobs") for body in served.bodies] == [True, True, None]


def test_an_answer_under_judgement_is_a_turn_of_its_own(served: Endpoint) -> None:
    asyncio.run(EndpointEngine(model(served))(requests("hello", assistant="Good day.")))
    assert [(turn["role"], turn["content"]) for turn in served.bodies[0]["messages"]] == [
        ("user", "hello"),
        ("assistant", "Good day."),
    ]


def test_busy_answers_are_tried_again(served: Endpoint) -> None:
    assert ask(served, "busy twice")["busy twice"]["completion"] == "re: busy twice"
    assert served.asked["busy twice"] == 3


@pytest.mark.parametrize(
    ("question", "error", "times"),
    [
        ("bad request", "BadRequestError (status 400): cannot answer: …", 1),
        ("always 503", "InternalServerError (status 503): overloaded", 4),
    ],
)
def test_what_cannot_be_answered_is_an_error_row_and_costs_no_other_row(
    served: Endpoint, question: str, error: str, times: int
) -> None:
    answered = ask(served, question, "hello")
    assert answered[question]["error"] == error
    assert answered[question]["completion"] is None
    assert answered["hello"]["completion"] == "re: hello"
    assert served.asked[question] == times


TIMEOUTS = ("APITimeoutError (ReadTimeout)", "TimeoutError")
"""Whichever of the client's limits and ours is first."""


def test_an_answer_that_does_not_come_is_given_up(served: Endpoint) -> None:
    answered = give_up(served, "hang", PATIENCE + 1)
    assert answered["hang"]["error"] in TIMEOUTS
    assert answered["hello"]["completion"] == "re: hello"
    assert served.asked["hang"] == 2


def test_a_reply_without_an_end_is_given_up(served: Endpoint) -> None:
    answered = give_up(served, "drip", PATIENCE / 10)
    assert answered["drip"]["error"] in TIMEOUTS
    assert answered["hello"]["completion"] == "re: hello"


ENDS = {
    "low surrogate": "\ufffd",
    "surrogates in UTF-8": None,
    "no finish reason": None,
    "finish reason of another type": None,
    "an end of another name": "end_turn",
    "an end without a name": "",
    "cut off by Gemini's filter": "SAFETY",
    "cut off by Gemini's armor": "MODEL_ARMOR",
    "thought alone, as DeepSeek shows it": "length",
    "thought alone, as a part": "length",
    "thought alone, not shown": "MAX_TOKENS",
    "thought that does not end": "length",
    "filtered with a colon": "content_filter: PROHIBITED_CONTENT",
}
"""How answers end that neither end by themselves nor by the word of OpenAI."""


@pytest.fixture(scope="module")
def oddly_answered() -> dict[str, dict[str, Any]]:
    """What becomes of a block of which each request gets another odd reply."""
    with endpoint() as odd:
        return ask(odd, *ODD, "hello", retries=0, decision="(Yes)")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_reply_with_an_answer_is_an_answer_however_odd_it_is(
    oddly_answered: dict[str, dict[str, Any]], name: str
) -> None:
    row = oddly_answered[name]
    assert (row["completion"], row["error"]) == (ANSWERS[name][1], None)
    assert row["finish_reason"] == ENDS.get(name, "content_filter" if "filter" in name or "refused" in name else "stop")
    assert row["input_tokens"] is row["output_tokens"] is row["confidence"] is None


@pytest.mark.parametrize("name", ERRORS | SHUT_OUT)
def test_a_reply_without_an_answer_is_an_error_row_that_says_why(
    oddly_answered: dict[str, dict[str, Any]], name: str
) -> None:
    row = oddly_answered[name]
    assert (row["completion"], row["error"]) == (None, (ERRORS | SHUT_OUT)[name][1])


def test_a_quota_that_is_spent_is_not_asked_for_again(served: Endpoint) -> None:
    assert ask(served, "quota", retries=5)["quota"]["error"] == "no access (status 429): all spent"
    assert served.asked["quota"] == 1


def test_odd_replies_cost_no_other_request(oddly_answered: dict[str, dict[str, Any]]) -> None:
    assert len(oddly_answered) == len(ODD) + 1
    assert oddly_answered["hello"]["completion"] == "re: hello"


def test_parameters_go_by_the_names_of_the_endpoint_or_are_not_sent(served: Endpoint) -> None:
    names = {"max_tokens": "max_completion_tokens", "temperature": "", "seed": ""}
    ask(served, "hello", parameters=names)
    (body,) = served.bodies
    assert body.keys() == {"model", "messages", "top_p", "max_completion_tokens"}
    assert body["max_completion_tokens"] == 7


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n"])
def test_a_key_may_have_blanks_around(served: Endpoint, monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, around.format("a-key"))
    assert ask(served, "hello")["hello"]["completion"] == "re: hello"
    assert served.keys == {"Bearer a-key"}


def test_a_user_and_a_password_in_the_address_are_sent_and_never_written(served: Endpoint) -> None:
    with_user = model(served).base_url.replace("://", "://me:open%20sesame@")
    private = OpenAI(kind="openai", base_url=with_user, model="m", key_variable=KEY_VARIABLE)
    (row,) = asyncio.run(EndpointEngine(private)(requests("hello"))).to_pylist()
    assert row["completion"] == "re: hello"
    assert served.keys == {f"Basic {b64encode(b'me:open sesame').decode()}"}
    assert private.identity() == model(served).identity()
    job = Answering(id="j", name="n", model=private, pending=Ref("rows", 1, "f"), store="s")
    alone = OpenAI(
        kind="openai", base_url=with_user.replace("me:open%20sesame", "t0ken"), model="m", key_variable=KEY_VARIABLE
    )
    assert "t0ken" in EndpointEngine(alone).hidden
    with pytest.raises(ModelError, match="a user or a password is in its address") as raised:
        private.check(runs_here=False)
    written = [job.model_dump_json(), str(private.model_dump(mode="json")), str(raised.value)]
    assert not [text for text in written if "sesame" in text]


@pytest.mark.parametrize("login", ["open%20sesame", "open%20sesame:", "open%20sesame:x-basic", "me:open%20sesame"])
def test_what_stands_before_the_host_is_in_no_error(login: str) -> None:
    body = http({"error": {"message": "unknown: open sesame (open%20sesame)"}}, status=400)
    with endpoint(lambda _: body) as served:
        with_user = model(served).base_url.replace("://", f"://{login}@")
        private = OpenAI(kind="openai", base_url=with_user, model="m", key_variable=KEY_VARIABLE)
        (row,) = asyncio.run(EndpointEngine(private)(requests("hello"))).to_pylist()
    assert row["error"].startswith("BadRequestError (status 400): unknown: …")
    assert "sesame" not in row["error"]


@pytest.mark.parametrize("key", ["", " \n", "a\nb", "a b", "schlüssel", "key\N{ZERO WIDTH SPACE}", "a\x7fb"])
def test_what_can_be_no_key_is_refused_beforehand_and_not_told(
    served: Endpoint, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(ModelError) as raised:
        model(served).check(runs_here=True)
    said = str(raised.value)
    assert KEY_VARIABLE in said
    assert "\n" not in said
    assert not key.strip() or key not in said
    model(served).check(runs_here=False)


def test_an_endpoint_that_is_not_there_gives_error_rows() -> None:
    gone = Endpoint(url="http://127.0.0.1:9/v1")
    assert ask(gone, "hello", retries=0)["hello"]["error"] == "APIConnectionError (ConnectError)"


def test_requests_are_spread_over_the_minute(served: Endpoint) -> None:
    loop = Forward()
    asked: list[int] = []

    def wait(_: str) -> None:
        asked.append(served.asked.total())
        loop.seconds += 60 / 2

    engine = Heard(model(served, requests_per_minute=2, timeout_seconds=10 * PATIENCE), wait)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(engine(requests("a", "b", "c", "d")))
    assert asked == [1, 2, 3, 4]


def wanted(folder: Path, *questions: str) -> Ref:
    uri = folder / "wanted.parquet"
    pq.write_table(requests(*questions), uri)
    return Ref(str(uri), len(questions), digest(questions))


def test_a_request_that_ended_in_an_error_is_asked_again_by_the_next_run(
    tmp_path: Path, cluster: RunJob, served: Endpoint
) -> None:
    work = Work("answers", "m@1", model(served), REQUESTS, COMPLETIONS)
    asked = wanted(tmp_path, "good", "always 503", "better")
    found, _ = obtain(work, asked, str(tmp_path / "tables"), cluster)
    assert found.rows == 2
    again, cost = obtain(work, asked, str(tmp_path / "tables"), cluster)
    assert (again.rows, cost.asked, cost.found) == (2, 1, 2)
    assert served.asked["good"] == served.asked["better"] == 1
    assert {row["request_id"] for row in read(again) if row["error"]} == {"always 503"}
