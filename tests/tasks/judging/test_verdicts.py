from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks import warehouse
from tasks.engines.chat import TOO_LONG
from tasks.judging.classifiers import MAPPING
from tasks.judging.reading import FOUND
from tasks.judging.rubric import rubrics as asked_of
from tasks.tables import COMPLETIONS, HARM_CATEGORIES, REQUESTS, SUBJECTS, VERDICTS, Ref
from tests.tasks.rows import Row, make, read

BOTH = ("standard", "checklist")
ANSWERS = 50


def requests(
    folder: Path, variants: tuple[str, ...], votes: int, said: list[Row] | None = None, rubrics: pa.Table | None = None
) -> Ref:
    """What a judge is asked of all answers that has no valid verdict among those `said`."""
    subjects: list[Row] = [
        {"subject_id": f"{n:02}", "question": "harm", "flipped": False, "user": f"Answer {n}."} for n in range(ANSWERS)
    ]
    inputs: dict[str, pa.Table] = {
        "subjects": make(SUBJECTS, subjects),
        "rubrics": asked_of(variants) if rubrics is None else rubrics,
        "verdicts": make(VERDICTS, said or []),
    }
    sampling = {"temperature": 0.3, "top_p": 1.0, "max_tokens": 9}
    asked = {"annotator": "j", "model": "m", "seed": 0, "votes": votes, "attempt": 1 if said else 0}
    return warehouse.build(REQUESTS, str(folder), "judge_requests", inputs, **asked, **sampling)


def ids(ref: Ref) -> set[str]:
    return {row["request_id"] for row in read(ref)}


def test_a_second_vote_under_two_rubrics_asks_only_what_is_new(tmp_path: Path) -> None:
    one, two = ids(requests(tmp_path, BOTH, 1)), ids(requests(tmp_path, BOTH, 2))
    assert (len(one), len(two), len(two - one)) == (2 * ANSWERS, 4 * ANSWERS, 2 * ANSWERS)


def test_the_order_of_rubrics_changes_nothing_that_is_asked(tmp_path: Path) -> None:
    assert requests(tmp_path, BOTH, 2) == requests(tmp_path, BOTH[::-1], 2)


@pytest.mark.parametrize("variant", BOTH)
def test_another_rubric_leaves_the_requests_of_the_first_as_they_are(tmp_path: Path, variant: str) -> None:
    assert ids(requests(tmp_path, (variant,), 2)) < ids(requests(tmp_path, BOTH, 2))


def test_a_vote_is_settled_by_a_verdict_of_its_own_rubric(tmp_path: Path) -> None:
    asked = read(requests(tmp_path, BOTH, 2))
    valid = [row for row in asked if row["rubric"].startswith("standard") or row["sample"] == 1]
    again = read(requests(tmp_path, BOTH, 2, [{**row, "vote": row["sample"]} for row in valid]))
    assert {(row["rubric"].split("@")[0], row["sample"]) for row in again} == {("checklist", 0)}
    assert len(again) == ANSWERS


def test_what_is_too_long_for_a_judge_is_a_problem_and_gets_no_further_attempt(tmp_path: Path) -> None:
    asked = requests(tmp_path, ("standard",), 1)
    ends = {row["request_id"]: (f"{TOO_LONG}: 9 tokens", "out of memory")[at % 2] for at, row in enumerate(read(asked))}
    said = make(COMPLETIONS, [{"request_id": request_id, "error": error} for request_id, error in ends.items()])
    inputs = {"requests": asked, "completions": said}
    found = read(
        warehouse.build(
            VERDICTS,
            str(tmp_path),
            "verdicts",
            {**inputs, "found": make(FOUND, [])},
            annotator="j",
            harm_categories=list(HARM_CATEGORIES),
        )
    )
    problems = {"too long": ANSWERS // 2, "engine error": ANSWERS // 2}
    assert Counter(row["problem"] for row in found) == problems
    given = {"annotator": "j", "decision": "(safe)"}
    of_classifier = warehouse.table("classifier_verdicts", {**inputs, "mapping": MAPPING.empty_table()}, **given)
    assert Counter(of_classifier["problem"].to_pylist()) == problems
    again = read(requests(tmp_path, ("standard",), 1, found))
    assert {row["subject_id"] for row in again} == {
        row["subject_id"] for row in found if row["problem"] == "engine error"
    }


@pytest.mark.parametrize(
    ("problem", "asked_again"), [("filtered", 0), (None, 0), ("no winner", ANSWERS), ("engine error", ANSWERS)]
)
def test_what_a_filter_refused_is_not_asked_again(tmp_path: Path, problem: str | None, asked_again: int) -> None:
    asked = read(requests(tmp_path, BOTH[:1], 1))
    said = [{**row, "vote": row["sample"], "problem": problem} for row in asked]
    assert requests(tmp_path, BOTH[:1], 1, said).rows == asked_again


def test_rubrics_that_share_the_words_of_a_question_have_votes_of_their_own(tmp_path: Path) -> None:
    standard = asked_of(BOTH[:1])
    named = [f"mine@{rubric}" for rubric in standard["rubric"].to_pylist()]
    mine = standard.set_column(standard.schema.get_field_index("rubric"), "rubric", pa.array(named))
    both = ids(requests(tmp_path, BOTH[:1], 2, rubrics=pa.concat_tables([standard, mine])))
    assert ids(requests(tmp_path, BOTH[:1], 2)) < both
    assert len(both) == 4 * ANSWERS


def test_another_pattern_of_the_decision_is_another_rubric(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(asked_of(BOTH)["rubric"].to_pylist())
    monkeypatch.setattr("tasks.judging.rubric.HARM_DECISION", '"is_safe": (true|false)')
    after = set(asked_of(BOTH)["rubric"].to_pylist())
    assert len(before - after) == len(BOTH)


READERS: dict[str, tuple[dict[str, pa.Table], dict[str, Any]]] = {
    "verdicts": ({"found": make(FOUND, [])}, {"annotator": "a", "harm_categories": list(HARM_CATEGORIES)}),
    "classifier_verdicts": ({"mapping": MAPPING.empty_table()}, {"annotator": "a", "decision": "(safe)"}),
    "screened_responses": ({}, {"responder": "r"}),
}
"""The queries that take one completion a request, with what else they read."""


@pytest.mark.parametrize("sql", READERS)
def test_of_several_completions_of_a_request_the_same_one_is_taken_in_whatever_order_they_are_found(sql: str) -> None:
    more, given = READERS[sql]
    asked = make(REQUESTS, [{"request_id": "r", "question": "harm", "user": "?", "sample": 0, "attempt": 0}])

    def taken(rows: Sequence[Row]) -> Row:
        completions = make(COMPLETIONS, [{"request_id": "r"} | row for row in rows])
        (found,) = warehouse.rows(sql, more | {"requests": asked, "completions": completions}, **given)
        return found

    said = '{"is_safe": true}' if sql == "verdicts" else "safe"
    alike = [{"completion": said, "confidence": n / 4, "output_tokens": n} for n in range(3)]
    assert len({str(taken(order)) for order in (alike, alike[::-1])}) == 1
    reason = "reason" if sql == "screened_responses" else "problem"
    errors = [{"error": "out of memory"}, {"error": f"{TOO_LONG}: 9 tokens"}]
    assert {taken(order)[reason] for order in (errors, errors[::-1])} == {"too long"}
    assert taken([*errors, alike[0]])[reason] is None
