"""When a job goes on, and when what its first rows met is what each further one would."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.data._internal.util import _annotate_exception_with_retry_context

from tasks.engines.chat import TOO_LONG
from tasks.engines.openai import OpenAI
from tasks.engines.scripted import Scripted
from tasks.errors import ModelError, StorageError
from tasks.identity import digest
from tasks.tables import COMPLETIONS, REQUESTS, Cost, Ref
from tasks.work import answering
from tasks.work.answering import (
    ALIKE,
    KINDS,
    MOST_ERRORS,
    PLACES,
    Answering,
    hopeless,
    most_common,
    places,
    stuck,
    without_advice,
    without_length,
)
from tasks.work.job import Job, Progress, RunJob, Tell
from tasks.work.store import Work, obtain
from tests.conftest import KEY_VARIABLE
from tests.tasks.engines.endpoint_server import Endpoint, endpoint
from tests.tasks.engines.odd_replies import ODD, SHUT_OUT
from tests.tasks.rows import make, read
from tests.tasks.work.here import fill_here

Choose = Callable[[str], str | None]
MANY = 4 * ALIKE
BLOCK_ROWS = 4
ANSWERED = 3 * ALIKE
"""Replies that one who holds the others back gives: enough for `ALIKE` rows, however they are spread over blocks."""


@pytest.mark.parametrize("error", [StorageError("s3://b/a: gone; mend it"), ValueError("two\nlines"), ValueError()])
def test_what_ray_appends_to_a_fault_is_not_part_of_it_however_it_came_here(error: Exception) -> None:
    said = str(error) or "ValueError"
    told = _annotate_exception_with_retry_context(
        error, description="apply UDF transform", attempts=1, max_attempts=1, total_backoff_s=0, exception_str=said
    )
    assert isinstance(told, Exception)
    assert without_advice(told) == without_advice(pickle.loads(pickle.dumps(told))) == said  # noqa: S301 (its own bytes)


class Odd:
    """An endpoint whose next replies are chosen by the question: the name of an odd one, or None for a good one.

    With `holds` it keeps those after the first `ANSWERED` back until it is closed, or its gate is opened.
    """

    def __init__(self) -> None:
        self.choose: Choose = lambda question: None
        self.served = Endpoint()
        self.numbers = count(1)
        self.holds = False

    def reply(self, body: dict[str, Any]) -> bytes | None:
        if self.holds and next(self.numbers) > ANSWERED:
            self.served.gate.wait()
        name = self.choose(body["messages"][-1]["content"])
        return None if name is None else ODD[name]


@pytest.fixture
def odd() -> Iterator[Odd]:
    found = Odd()
    with endpoint(found.reply) as found.served:
        yield found


def answer(
    odd: Odd, folder: Path, questions: list[str], run: RunJob = fill_here, block_rows: int = BLOCK_ROWS, **values: Any
) -> tuple[Ref, Cost]:
    model = OpenAI(
        kind="openai",
        base_url=odd.served.url,
        model="thinker",
        key_variable=KEY_VARIABLE,
        requests_per_minute=60_000,
        retries=0,
        block_rows=block_rows,
    )
    rows = [
        {"request_id": q, "user": q, "temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 1, "attempt": 0}
        | values
        for q in questions
    ]
    folder.mkdir(exist_ok=True)
    uri = folder / f"{digest(rows)}.parquet"
    pq.write_table(make(REQUESTS, rows), uri)
    work = Work("answers", model.identity(), model, REQUESTS, COMPLETIONS)
    return obtain(work, Ref(str(uri), len(rows), digest(rows)), str(folder / "tables"), run)


def questions(number: int, said: str = "How many tulips are") -> list[str]:
    return [f"{said} {at}?" for at in range(number)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("status 404", "NotFoundError (status 404): no such model"),
        ("a page", "no JSON (status 200): Sign in to go on"),
        ("no reply", "APIConnectionError (RemoteProtocolError)"),
    ],
)
def test_a_job_whose_first_requests_all_fail_alike_stops_and_says_why(
    tmp_path: Path, odd: Odd, name: str, said: str
) -> None:
    odd.choose = lambda question: name
    with pytest.raises(ModelError) as raised:
        answer(odd, tmp_path, questions(MANY))
    assert str(raised.value).startswith("answers: thinker answered none of the first ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "tulips" not in str(raised.value)
    assert odd.served.asked.total() == ALIKE
    assert set(odd.served.asked.values()) == {1}


@pytest.mark.parametrize("name", ["empty content", "thought alone, not shown", "thought that does not end"])
def test_a_job_whose_first_answers_all_say_nothing_stops_and_says_what_to_do(
    tmp_path: Path, odd: Odd, name: str
) -> None:
    odd.choose = lambda question: name
    with pytest.raises(ModelError) as raised:
        answer(odd, tmp_path, questions(MANY))
    assert str(raised.value) == (
        "answers: thinker said nothing in the first 32 answers, which are empty or thinking alone; "
        "raise max_tokens or switch the thinking off, run again"
    )
    assert odd.served.asked.total() == ALIKE


def test_answers_that_say_nothing_stop_no_job_with_another_answer_and_no_smaller_one(tmp_path: Path, odd: Odd) -> None:
    asked = questions(2 * ALIKE)
    good = asked[::BLOCK_ROWS]
    odd.choose = lambda question: None if question in good else "thought alone, not shown"
    assert answer(odd, tmp_path, asked)[0].rows == len(asked)
    assert answer(odd, tmp_path, questions(ALIKE - 1, "Whose are"))[0].rows == ALIKE - 1


def test_a_job_that_stops_asks_no_more_of_its_cluster(tmp_path: Path, cluster: RunJob, odd: Odd) -> None:
    told: list[int] = []

    def run(job: Job, tell: Tell) -> None:
        def hear(progress: Progress) -> None:
            told.append(progress.rows)
            if progress.rows > ALIKE:  # it has not stopped, and is to be asked for the rest
                odd.served.gate.set()
            tell(progress)

        cluster(job, hear)

    odd.choose = lambda question: "status 404"
    odd.holds = True
    with pytest.raises(ModelError, match="answered none of the first 32 requests: NotFoundError"):
        answer(odd, tmp_path, questions(MANY), run)
    assert told == list(range(BLOCK_ROWS, ALIKE + 1, BLOCK_ROWS))
    assert odd.served.asked.total() < MANY


def test_a_smaller_job_that_fails_as_a_whole_stops_each_time_until_the_cause_is_mended(
    tmp_path: Path, odd: Odd
) -> None:
    odd.choose = lambda question: "status 404"
    for _ in range(2):
        with pytest.raises(ModelError, match="answered none of the first 3 requests: NotFoundError"):
            answer(odd, tmp_path, questions(3))
    odd.choose = lambda question: None
    found, cost = answer(odd, tmp_path, questions(3))
    assert (found.rows, cost.errors) == (3, ())


def test_answers_among_errors_let_a_job_go_on_and_its_errors_are_counted_by_their_words(
    tmp_path: Path, odd: Odd
) -> None:
    asked = questions(MANY)
    good = asked[::BLOCK_ROWS]
    odd.choose = lambda question: None if question in good else "status 404"
    found, cost = answer(odd, tmp_path, asked)
    assert found.rows == len(good)
    assert cost.errors == (("NotFoundError (status 404): no such model", MANY - len(good)),)
    assert sum(row["error"] is not None for row in read(found)) == MANY - len(good)


def test_errors_of_several_kinds_let_a_job_go_on(tmp_path: Path, odd: Odd) -> None:
    kinds = ("status 400, null", "status 404")
    odd.choose = lambda question: kinds[len(question) % 2]
    found, cost = answer(odd, tmp_path, questions(12))
    assert found.rows == 0
    assert sorted(number for _, number in cost.errors) == [2, 10]


def test_requests_that_fail_again_beside_answered_ones_stop_no_later_run(tmp_path: Path, odd: Odd) -> None:
    asked = questions(2 * ALIKE)
    good = asked[::BLOCK_ROWS]  # one a block, in whatever order they end
    odd.choose = lambda question: None if question in good else "status 400, a page"
    for times in (1, 2, 3):
        found, _ = answer(odd, tmp_path, asked)
        assert found.rows == len(good)
        assert odd.served.asked[asked[1]] == times
    assert odd.served.asked[asked[0]] == 1


def test_new_requests_that_all_fail_alike_stop_a_job_whatever_was_answered_before(tmp_path: Path, odd: Odd) -> None:
    answer(odd, tmp_path, questions(BLOCK_ROWS))
    odd.choose = lambda question: "status 404"
    with pytest.raises(ModelError, match="no such model"):
        answer(odd, tmp_path, questions(MANY))
    assert odd.served.asked.total() == BLOCK_ROWS + ALIKE
    few, cost = answer(odd, tmp_path, questions(7))
    assert (few.rows, sum(number for _, number in cost.errors)) == (BLOCK_ROWS, 7 - BLOCK_ROWS)


def test_refusals_of_single_prompts_stop_no_job_and_are_asked_once_ever(tmp_path: Path, odd: Odd) -> None:
    asked = questions(9 * ALIKE)
    odd.choose = lambda question: "refused by Azure" if question != asked[-1] else None
    for _ in range(2):
        found, cost = answer(odd, tmp_path, asked)
        assert (found.rows, cost.errors) == (9 * ALIKE, ())
    assert set(odd.served.asked.values()) == {1}


@pytest.mark.parametrize("name", SHUT_OUT)
def test_who_may_ask_nothing_more_stops_at_any_place_and_goes_on_when_that_is_mended(
    tmp_path: Path, odd: Odd, name: str
) -> None:
    asked = questions(MANY)
    odd.choose = lambda question: name if odd.served.asked.total() > ANSWERED else None
    with pytest.raises(ModelError) as raised:
        answer(odd, tmp_path, asked)
    said = f"answers: thinker may be asked nothing more: {SHUT_OUT[name][1]}; what is answered is kept; "
    assert str(raised.value).startswith(said)
    assert ANSWERED < odd.served.asked.total() <= ANSWERED + BLOCK_ROWS
    odd.choose = lambda question: None
    found, cost = answer(odd, tmp_path, asked)
    assert (found.rows, cost.found, cost.errors) == (MANY, ANSWERED, ())


LONG = "longer than the model: 90 tokens and up to 7 of an answer are more than its 80"


def stops(job: Answering, *said: str | None) -> bool:
    """Whether a job stops at the latest when its rows have these errors, or answers."""
    errors = Counter(without_length(error) for error in said if error is not None)
    return hopeless(job, len(said), PLACES, errors) is not None


@pytest.mark.parametrize("rows", [3, ALIKE, 10 * ALIKE])
def test_what_was_not_sent_stops_no_job_and_hides_no_fault_of_the_others(rows: int) -> None:
    job = Answering(id="a", name="a", model=Scripted(kind="scripted"), pending=Ref("", rows, ""), store="").model_copy(
        update={"patience": min(rows, ALIKE)}
    )
    fault, enough = "NotFoundError (status 404): no such model", min(rows, ALIKE)
    assert not stops(job, *[LONG] * rows)
    assert stops(job, *[fault] * enough)
    assert stops(job, *[LONG] * (rows - enough), *[fault] * enough)
    assert not stops(job, *[LONG] * (rows - 1), fault)
    assert not stops(job, *[LONG] * (rows - 1), None)
    assert rows <= ALIKE or not stops(job, *[LONG] * (ALIKE - 1), fault)


def test_prompts_that_an_endpoint_finds_too_long_stop_a_job_only_where_nothing_else_is_answered_for_long(
    tmp_path: Path, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "KINDS", 2)
    asked = questions(3 * ALIKE)
    odd.choose = lambda question: "too long for vLLM" if question not in asked[:: ALIKE // 2] else None
    found, cost = answer(odd, tmp_path, asked)
    assert (found.rows, cost.errors) == (6, (("longer than the model (status 400)", len(asked) - 6),))
    odd.choose = lambda question: "too long for vLLM"
    with pytest.raises(ModelError, match=r"first 64 requests: longer than the model \(status 400\)"):
        answer(odd, tmp_path / "other", asked)


@pytest.mark.parametrize(("block_rows", "refused"), [(4, ALIKE), (16, 2 * ALIKE), (ALIKE, 3 * ALIKE)])
def test_requests_that_stand_together_and_are_refused_stop_no_job(
    tmp_path: Path, odd: Odd, block_rows: int, refused: int
) -> None:
    asked = questions(MANY)
    odd.choose = lambda question: "status 400, a page" if question in asked[:refused] else None
    found, cost = answer(odd, tmp_path, asked, block_rows=block_rows)
    assert (found.rows, sum(number for _, number in cost.errors)) == (MANY - refused, refused)


def test_the_order_in_which_blocks_are_asked_is_drawn(tmp_path: Path) -> None:
    pq.write_table(make(REQUESTS, [{"request_id": str(at)} for at in range(208)]), tmp_path / "pending.parquet")
    model = OpenAI(kind="openai", base_url="http://127.0.0.1:1/v1", model="m")  # of as many rows a block as by default
    pending = Ref(str(tmp_path / "pending.parquet"), 208, "208")
    begins = [
        max(
            int(place["start"])
            for place in places(Answering(id=str(at), name="j", model=model, pending=pending, store=""))[:PLACES]
        )
        for at in range(300)
    ]
    assert sum(begin < 128 for begin in begins) <= 3  # one in 1,287 to be expected


def test_prompts_that_a_wall_forbids_stop_no_job_and_no_later_run(tmp_path: Path, odd: Odd) -> None:
    asked = questions(MANY)
    odd.choose = lambda question: "a wall" if question in asked[1::50] else None
    for times in (1, 2):
        found, cost = answer(odd, tmp_path, asked)
        assert (found.rows, sum(number for _, number in cost.errors)) == (MANY - 3, 3)
        assert odd.served.asked[asked[1]] == times


def test_an_engine_that_answers_no_more_stops_its_job_at_any_place_in_its_own_words(
    tmp_path: Path, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "KINDS", 2)
    asked = questions(2 * MANY)
    odd.choose = lambda question: "status 404" if odd.served.asked.total() > ANSWERED else None
    with pytest.raises(ModelError) as raised:
        answer(odd, tmp_path, asked)
    assert str(raised.value).startswith(
        "answers: thinker answered none of the last 64 requests: NotFoundError (status 404): no such"
    )
    assert ANSWERED + 2 * ALIKE <= odd.served.asked.total() <= ANSWERED + 2 * ALIKE + BLOCK_ROWS
    odd.choose = lambda question: None
    found, cost = answer(odd, tmp_path, asked)
    assert (found.rows, cost.found, cost.errors) == (2 * MANY, ANSWERED, ())


GONE = Counter({"NotFoundError (status 404): no such model": KINDS * ALIKE})


@pytest.mark.parametrize(
    ("since", "places", "is_stuck"),
    [
        (GONE, PLACES, True),
        (Counter({f"error {at}": ALIKE for at in range(KINDS)}), PLACES, True),
        (GONE + Counter({TOO_LONG: 1}), PLACES + 1, True),
        (GONE, PLACES - 1, False),
        (GONE - Counter(list(GONE)), PLACES, False),
        (Counter({TOO_LONG: KINDS * ALIKE}), PLACES, False),
        (Counter(), 0, False),
    ],
)
def test_only_a_long_row_of_blocks_without_an_answer_tells_of_an_engine_that_is_gone(
    since: Counter[str], places: int, is_stuck: bool
) -> None:
    job = Answering(id="a", name="a", model=Scripted(kind="scripted"), pending=Ref("", 9_999, ""), store="")
    assert (stuck(job, since, places) is not None) == is_stuck
    assert stuck(job.model_copy(update={"patience": 1}), since, places) == stuck(job, since, places)
    assert stuck(job.model_copy(update={"patience": 2 * ALIKE}), since, places) is None


def test_further_attempts_stop_no_job(tmp_path: Path, odd: Odd) -> None:
    odd.choose = lambda question: "status 400, a page"
    found, cost = answer(odd, tmp_path, questions(3), attempt=1)
    assert (found.rows, cost.asked) == (0, 3)


def test_the_errors_of_a_job_are_told_by_how_often_they_came_and_the_rare_ones_as_a_number() -> None:
    errors = Counter({f"error {number}": number for number in range(1, MOST_ERRORS + 4)})
    told = most_common(errors)
    assert told[0] == (f"error {MOST_ERRORS + 3}", MOST_ERRORS + 3)
    assert told[-1] == ("others", 1 + 2 + 3)
    assert sum(number for _, number in told) == errors.total()


def test_a_storage_that_is_deleted_while_a_job_works_is_told_by_name(tmp_path: Path, cluster: RunJob) -> None:
    pending = tmp_path / "pending.parquet"
    rows = [{"request_id": str(at), "user": "?", "seed": at} for at in range(64)]
    pq.write_table(make(REQUESTS, rows), pending)
    model = Scripted(kind="scripted", block_rows=1, seconds_per_row=0.2)
    job = Answering(
        id="gone", name="answers", model=model, pending=Ref(str(pending), 64, ""), store=str(tmp_path / "store")
    )
    with pytest.raises(StorageError, match=f"{pending}: cannot be read: No such file"):
        cluster(job, lambda progress: pending.unlink(missing_ok=True))
    with pytest.raises(StorageError, match=f"{pending}: cannot be read: No such file"):
        cluster(job, lambda progress: None)
