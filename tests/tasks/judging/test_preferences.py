import json
from pathlib import Path

import pytest

from tasks.judging.reading import FOUND
from tasks.tables import (
    COMPLETIONS,
    HARM_CATEGORIES,
    LABELS,
    PAIRS,
    REQUESTS,
    RESPONSES,
    SCREENED_PREFERENCES,
    SUBJECTS,
    VERDICTS,
    screened,
)
from tests.tasks.rows import UNWEIGHED, Row, make, select, with_opinions

JUDGED = {"annotator": "j", "annotator_kind": "model", "attempt": 0}
PAIR = {"pair_id": "x", "prompt": "P", "response_0": "zero", "response_1": "one", "severity_0": 0, "severity_1": 0}


def test_answers_are_paired_within_a_prompt_and_responder(tmp_path: Path) -> None:
    where = [("p", "r"), ("p", "r"), ("p", "r"), ("p", "other"), ("q", "r")]
    rows = [
        {"prompt_id": p, "responder": r, "response_id": f"a{i}", "request_id": f"{i}"} for i, (p, r) in enumerate(where)
    ]
    labels = make(LABELS, [{"response_id": f"a{i}", "severity_level": 0} for i in (0, 1, 2, 3, 4)])
    inputs = {"responses": make(RESPONSES, rows), "labels": labels}
    pairs = select(PAIRS, tmp_path, "pairs", inputs)
    assert {(p["response_0_id"], p["response_1_id"]) for p in pairs} == {("a0", "a1"), ("a0", "a2"), ("a1", "a2")}
    left = select(
        screened(PAIRS, ()),
        tmp_path,
        "screened_pairs",
        inputs | {"all_pairs": make(PAIRS, pairs), "pairs": make(PAIRS, pairs)},
    )
    assert {row["id"] for row in left if row["reason"] == "no second answer"} == {"3", "4"}


def test_every_question_is_asked_in_both_orders(tmp_path: Path) -> None:
    message = "{}|{}|{}"
    subjects = select(SUBJECTS, tmp_path, "preference_subjects", {"pairs": make(PAIRS, [PAIR])}, message=message)
    assert len(subjects) == 6
    assert {(row["flipped"], row["user"]) for row in subjects} == {(False, "P|zero|one"), (True, "P|one|zero")}


def test_text_with_braces_is_shown_as_it_is(tmp_path: Path) -> None:
    pairs = make(PAIRS, [PAIR | {"response_0": "{} {prompt} %s"}])
    subjects = select(SUBJECTS, tmp_path, "preference_subjects", {"pairs": pairs}, message="{}|{}|{}")
    assert "P|{} {prompt} %s|one" in {row["user"] for row in subjects}


@pytest.mark.parametrize(
    ("said", "flipped", "winner"), [("A", False, 0), ("B", False, 1), ("A", True, 1), ("B", True, 0), ("C", True, None)]
)
def test_the_winner_is_counted_for_the_answer_not_for_its_place(
    tmp_path: Path, said: str, flipped: bool, winner: int | None
) -> None:
    asked = {"request_id": "r", "subject_id": "x", "question": "overall", "sample": 0, "attempt": 0, "flipped": flipped}
    answered = {"request_id": "r", "completion": json.dumps({"winner": said}), "finish_reason": "stop"}
    inputs = {
        "requests": make(REQUESTS, [asked]),
        "completions": make(COMPLETIONS, [answered]),
        "found": make(FOUND, []),
    }
    row = select(VERDICTS, tmp_path, "verdicts", inputs, annotator="j", harm_categories=list(HARM_CATEGORIES))[0]
    assert row["winner"] == winner
    assert row["problem"] == (None if winner is not None else "no winner")


def test_both_orders_weigh_the_same(tmp_path: Path) -> None:
    votes = [(False, 0), (False, 0), (True, 1)]
    verdicts = [
        JUDGED | {"subject_id": "x", "question": question, "flipped": flipped, "vote": i, "winner": winner}
        for question in ("helpfulness", "harmlessness", "overall")
        for i, (flipped, winner) in enumerate(votes)
    ]
    inputs = {"pairs": make(PAIRS, [PAIR])} | with_opinions(verdicts) | UNWEIGHED
    assert select(SCREENED_PREFERENCES, tmp_path, "screened_preferences", inputs)[0]["better_agreement"] == 0.5


def decide(folder: Path, better: list[int], safer: list[int], overall: list[int], **severity: int) -> Row:
    questions = {"helpfulness": better, "harmlessness": safer, "overall": overall}
    verdicts = [
        JUDGED | {"subject_id": "x", "question": question, "flipped": bool(i), "vote": 0, "winner": winner}
        for question, winners in questions.items()
        for i, winner in enumerate(winners)
    ]
    inputs = {"pairs": make(PAIRS, [PAIR | severity])} | with_opinions(verdicts) | UNWEIGHED
    return select(SCREENED_PREFERENCES, folder, "screened_preferences", inputs)[0]


def test_votes_that_agree_decide_with_full_agreement(tmp_path: Path) -> None:
    row = decide(tmp_path, better=[1, 1], safer=[0, 0], overall=[1, 1])
    assert [row[f"{name}_response_id"] for name in ("better", "safer", "overall")] == [1, 0, 1]
    assert [row[f"{name}_agreement"] for name in ("better", "safer", "overall")] == [1, 1, 1]


def test_a_verdict_that_depends_on_the_order_shows_as_half_agreement(tmp_path: Path) -> None:
    row = decide(tmp_path, better=[0, 1], safer=[0, 1], overall=[0, 1], severity_0=2, severity_1=1)
    assert [row[f"{name}_agreement"] for name in ("better", "safer", "overall")] == [0.5, 0.5, 0.5]
    assert row["safer_response_id"] == 1
    assert row["overall_response_id"] == 1


def test_a_safe_answer_is_always_safer_than_an_unsafe_one(tmp_path: Path) -> None:
    row = decide(tmp_path, better=[0, 0], safer=[0, 0], overall=[0, 0], severity_0=1, severity_1=0)
    assert (row["safer_response_id"], row["safer_agreement"]) == (1, 0)


def test_among_unsafe_answers_votes_outweigh_severity(tmp_path: Path) -> None:
    assert decide(tmp_path, [0, 0], [0, 0], [0, 0], severity_0=3, severity_1=1)["safer_response_id"] == 0


def test_a_pair_judged_in_one_order_only_is_left_out(tmp_path: Path) -> None:
    row = decide(tmp_path, better=[1], safer=[0, 0], overall=[1, 1])
    assert row["reason"] == "no valid verdict in both orders"
