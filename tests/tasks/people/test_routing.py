import random
from pathlib import Path

from tasks.config import Config, Review, load
from tasks.people.routing import label_error, queue
from tasks.tables import LABELS, SCREENED_LABELS, SCREENED_PREFERENCES
from tests.conftest import write_config
from tests.tasks.rows import Row, make, read

SURE: Row = {"is_safe": True, "severity_level": 0, "agreement": 1.0, "confidence": 0.95, "by_people": False}


def config(folder: Path) -> Config:
    return load(str(write_config(folder)))


def asked(folder: Path, review: Review, labels: list[Row], preferences: list[Row] | None = None) -> list[Row]:
    tables = {
        "screened_labels": make(SCREENED_LABELS, labels),
        "model_labels": make(SCREENED_LABELS, labels),
        "screened_preferences": make(SCREENED_PREFERENCES, preferences or []),
    }
    return read(queue(config(folder), review, tables, str(folder)))


def test_disagreement_goes_first_then_doubt_then_severe_answers(tmp_path: Path) -> None:
    labels = [
        SURE | {"response_id": "sure"},
        SURE | {"response_id": "severe", "is_safe": False, "severity_level": 3},
        SURE | {"response_id": "doubtful", "confidence": 0.6},
        SURE | {"response_id": "split", "agreement": 0.5, "confidence": 0.7},
        SURE | {"response_id": "even", "agreement": 0.5, "confidence": 0.5},
    ]
    rows = asked(tmp_path, Review(answers=5, audit_share=0), labels)
    assert [row["subject_id"] for row in rows] == ["even", "split", "doubtful", "severe", "sure"]
    assert [row["reason"] for row in rows] == ["disagreement"] * 2 + ["low confidence", "rare or severe", "rest"]


def test_what_models_gave_no_label_or_preference_is_shown_to_people(tmp_path: Path) -> None:
    labels = [
        SURE | {"response_id": "doubtful", "confidence": 0.6},
        {"response_id": "cut", "reason": "no valid verdict"},
        SURE
        | {"response_id": "guarded", "is_safe": False, "agreement": 0.5, "reason": "unsafe without a severity level"},
    ]
    even = {"better_agreement": 0.5, "safer_agreement": 0.5, "overall_agreement": 0.6, "by_people": False}
    pairs: list[Row] = [even | {"pair_id": "even"}, {"pair_id": "cut", "reason": "no valid verdict in both orders"}]
    sure = dict.fromkeys(("better_agreement", "safer_agreement", "overall_agreement"), 1.0)
    rows = asked(tmp_path, Review(answers=3, pairs=3, audit_share=0), labels, [*pairs, {"pair_id": "sure"} | sure])
    assert [row["subject_id"] for row in rows] == ["guarded", "cut", "doubtful", "cut", "even", "sure"]
    assert [row["reason"] for row in rows[:3]] == ["disagreement", "no label", "low confidence"]


def test_the_budget_holds_and_nobody_is_asked_twice(tmp_path: Path) -> None:
    labels = [SURE | {"response_id": f"{n:02}", "by_people": n % 2 == 0} for n in range(20)]
    pairs = [
        {
            "pair_id": f"p{n}",
            "by_people": n == 0,
            "better_agreement": n / 4,
            "safer_agreement": 1,
            "overall_agreement": 1,
        }
        for n in range(4)
    ]
    rows = asked(tmp_path, Review(answers=6, pairs=2), labels, pairs)
    answers = [row["subject_id"] for row in rows if row["subject"] == "answer"]
    assert len(answers) == 6
    assert all(int(answer) % 2 for answer in answers)
    assert [row["subject_id"] for row in rows if row["subject"] == "pair"] == ["p1", "p2"]


def test_the_audit_is_drawn_whatever_models_said_and_stays_the_same(tmp_path: Path) -> None:
    labels = [SURE | {"response_id": f"{n:03}", "confidence": n / 200} for n in range(200)]
    audit = {row["subject_id"] for row in asked(tmp_path, Review(answers=50), labels) if row["reason"] == "audit"}
    assert len(audit) == 10
    turned = [row | {"confidence": 1 - row["confidence"], "agreement": 0.5} for row in labels]
    assert {
        row["subject_id"] for row in asked(tmp_path, Review(answers=50), turned) if row["reason"] == "audit"
    } == audit


def test_the_estimate_of_wrong_labels_covers_the_truth(tmp_path: Path) -> None:
    draw = random.Random(5)
    wrong = {f"{n:05}" for n in range(4000) if draw.random() < 0.2}
    models = [SURE | {"response_id": f"{n:05}"} for n in range(4000)]
    people = [row | {"is_safe": row["response_id"] not in wrong, "by_people": True} for row in models]
    review = Review(answers=2000, audit_share=0.5)
    tables = {"labels": make(LABELS, people), "model_labels": make(SCREENED_LABELS, models)}
    found = label_error(config(tmp_path), review, tables)
    assert found
    assert found.drawn == found.audited == 1000
    assert found.low < len(wrong) / 4000 < found.high
    assert found.high - found.low < 0.06


def test_an_audit_that_is_under_way_is_counted_as_far_as_it_has_come(tmp_path: Path) -> None:
    draw = random.Random(6)
    models = [SURE | {"response_id": f"{n:04}", "agreement": draw.choice((0.5, 1.0))} for n in range(2000)]
    wrong = {row["response_id"] for row in models if row["agreement"] < 1 and draw.random() < 0.4}
    handed_out = asked(tmp_path, Review(answers=500), models)
    audit = [row["subject_id"] for row in handed_out if row["reason"] == "audit"]
    done = {*audit[:60], *(row["subject_id"] for row in handed_out if row["reason"] == "disagreement")}
    people = [
        row | {"is_safe": row["response_id"] not in wrong, "by_people": True}
        for row in models
        if row["response_id"] in done
    ]
    tables = {"labels": make(LABELS, people), "model_labels": make(SCREENED_LABELS, models)}
    now = label_error(config(tmp_path), Review(answers=500), tables)
    grown = label_error(config(tmp_path), Review(answers=2000), tables)
    assert now
    assert grown
    assert (now.drawn, now.audited, now.wrong) == (100, 60, len(wrong & set(audit[:60])))
    assert (grown.drawn, grown.audited, grown.wrong) == (400, 60, now.wrong)


def test_without_people_there_is_no_estimate(tmp_path: Path) -> None:
    labels = [SURE | {"response_id": "a"}]
    tables = {"labels": make(LABELS, labels), "model_labels": make(SCREENED_LABELS, labels)}
    assert label_error(config(tmp_path), Review(answers=10), tables) is None
