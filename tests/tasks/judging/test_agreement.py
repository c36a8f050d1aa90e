from collections.abc import Callable
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from tasks import warehouse
from tasks.judging.agreement import BETWEEN, agreement, agreement_patterns, measured, pairwise
from tasks.judging.measures import COHEN, FLEISS, NOMINAL_ALPHA, ORDINAL_ALPHA, PERCENT, Measure, estimate
from tasks.tables import AGREEMENT_QUESTIONS, HARM_CATEGORIES
from tests.tasks.rows import Row, read, with_opinions


def ratings(seed: int, subjects: int, raters: int, levels: int, missing: float = 0.0) -> np.ndarray:
    """Ratings that agree more than by chance, with some left out."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(levels, size=(subjects, 1))
    said = np.where(draw.random((subjects, raters)) < 0.6, truth, draw.integers(levels, size=(subjects, raters)))
    return np.where(draw.random((subjects, raters)) < missing, np.nan, said.astype(float))


def value(measure: Measure, values: np.ndarray) -> float:
    found = estimate(measure, values, np.ones(len(values), dtype=np.int64), seed=0).value
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [2, 4])
def test_measures_are_those_of_the_libraries(seed: int, levels: int) -> None:
    two, five = ratings(seed, 60, 2, levels), ratings(seed, 60, 5, levels)
    assert value(COHEN, two) == pytest.approx(cohen_kappa_score(two[:, 0], two[:, 1]))
    assert value(FLEISS, five) == pytest.approx(fleiss_kappa(aggregate_raters(five)[0]))
    sparse = ratings(seed, 60, 5, levels, missing=0.4)
    sparse = sparse[np.isfinite(sparse).sum(axis=1) > 1]
    for measure, level in ((NOMINAL_ALPHA, "nominal"), (ORDINAL_ALPHA, "ordinal")):
        assert value(measure, sparse) == pytest.approx(krippendorff.alpha(sparse.T, level_of_measurement=level))


def test_percent_is_the_share_of_agreeing_pairs_of_annotators() -> None:
    assert value(PERCENT, np.array([[1, 1, 0], [1, 1, np.nan], [0, 1, np.nan]])) == pytest.approx(2 / 5)


@pytest.mark.parametrize("measure", [PERCENT, COHEN, FLEISS, NOMINAL_ALPHA, ORDINAL_ALPHA])
def test_counts_of_patterns_say_what_all_subjects_say(measure: Measure) -> None:
    values = ratings(1, 300, 2, 4)
    patterns, counts = np.unique(values, axis=0, return_counts=True)
    assert len(patterns) <= 16
    assert estimate(measure, patterns, counts, seed=3).value == pytest.approx(value(measure, values))


def test_an_interval_is_what_a_bootstrap_over_subjects_gives_and_the_same_each_time() -> None:
    values = ratings(2, 200, 2, 2)
    patterns, counts = np.unique(values, axis=0, return_counts=True)
    found = estimate(COHEN, patterns, counts, seed=5)
    draw = np.random.default_rng(7)
    slow = [cohen_kappa_score(*values[draw.integers(200, size=200)].T) for _ in range(1000)]
    assert (found.low, found.high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.03)
    assert estimate(COHEN, patterns, counts, seed=5) == found


@pytest.mark.parametrize("measure", [COHEN, FLEISS, NOMINAL_ALPHA, ORDINAL_ALPHA])
def test_a_measure_does_not_exist_where_nobody_differs_or_nobody_is(measure: Measure) -> None:
    assert estimate(measure, np.ones((1, 2)), np.array([9]), seed=0) == (None, None, None)
    assert estimate(measure, np.empty((0, 2)), np.array([], dtype=np.int64), seed=0) == (None, None, None)


def harm(
    subject: str, annotator: str, level: int | None, names: tuple[str, ...] = (), vote: int = 0, **more: Any
) -> Row:
    said = {"is_safe": level == 0, "severity_level": level, "harm_category": list(names)}
    kind = "person" if annotator.startswith("person") else "model"
    return {
        "subject_id": subject, "question": "harm", "annotator": annotator, "annotator_kind": kind, "vote": vote, "flipped": False
    } | said | more  # fmt: skip


def choice(subject: str, annotator: str, winner: int, flipped: bool, **more: Any) -> Row:
    said = harm(subject, annotator, None, question="overall", flipped=flipped, is_safe=None, winner=winner)
    return said | more


Patterns = Callable[[list[Row]], dict[str, list[tuple[dict[str, int], int]]]]


def patterns_of(verdicts: list[Row], folder: Path) -> list[Row]:
    patterns = agreement_patterns(with_opinions(verdicts)["opinions"], str(folder))
    return warehouse.rows("all_patterns", {"patterns": patterns})


@pytest.fixture
def patterns(tmp_path: Path) -> Patterns:
    def found(verdicts: list[Row]) -> dict[str, list[tuple[dict[str, int], int]]]:
        by_question: dict[str, list[tuple[dict[str, int], int]]] = {}
        for row in patterns_of(verdicts, tmp_path):
            said = {opinion["annotator"]: opinion["value"] for opinion in row["opinions"]}
            by_question.setdefault(row["question"], []).append((said, row["subjects"]))
        return by_question

    return found


def test_all_votes_of_one_annotator_are_one_opinion(patterns: Patterns) -> None:
    votes = [harm("x", "a", level, ("Drugs",) if level else (), n) for n, level in enumerate((0, 0, 1, 2))]
    found = patterns([*votes, harm("x", "b", 3, ("Drugs", "Violence"))])
    assert found["safety"] == [({"a": 1, "b": 1}, 1)]
    assert found["severity"] == [({"a": 2, "b": 3}, 1)]
    assert found["Drugs"] == [({"a": 1, "b": 1}, 1)]
    assert found["Violence"] == [({"a": 0, "b": 1}, 1)]


def test_like_opinions_are_one_pattern_and_unusable_verdicts_are_none(patterns: Patterns) -> None:
    alike = [harm(subject, name, 0) for subject in "xyz" for name in "ab"]
    assert patterns([*alike, harm("z", "c", None, problem="cut off")])["safety"] == [({"a": 0, "b": 0}, 3)]


def test_a_category_is_named_by_half_of_the_unsafe_votes_and_by_none_of_a_safe_opinion(patterns: Patterns) -> None:
    split = [harm("x", "a", 1, (name,), n) for n, name in enumerate(("Drugs", "Drugs", "Violence"))]
    mostly_safe = [harm("x", "b", 0, (), 0), harm("x", "b", 0, (), 1), harm("x", "b", 1, ("Drugs",), 2)]
    found = patterns([*split, *mostly_safe])
    assert found["Drugs"] == [({"a": 1, "b": 0}, 1)]
    assert found["Violence"] == [({"a": 0, "b": 0}, 1)]


def test_a_classifier_has_no_opinion_on_what_it_never_says(patterns: Patterns) -> None:
    guard = [harm("x", "guard", None), harm("y", "guard", 0)]
    found = patterns([*guard, *(harm(s, n, 2, ("Drugs",)) for s in "xy" for n in "ab")])
    assert found["safety"] == [({"a": 1, "b": 1, "guard": 0}, 1), ({"a": 1, "b": 1, "guard": 1}, 1)]
    assert found["severity"] == [({"a": 2, "b": 2}, 2)]
    assert found["Drugs"] == [({"a": 1, "b": 1}, 2)]


def test_a_preference_is_the_mean_over_both_orders_and_an_even_one_is_none(patterns: Patterns) -> None:
    both = [choice("x", "a", 1, flipped) for flipped in (False, True)]
    uneven = [choice("x", "b", 0, False), *(choice("x", "b", 1, True, vote=n) for n in range(3))]
    sure = [choice("x", "c", 0, flipped) for flipped in (False, True)]
    one_order = [choice("x", "d", 1, False)]
    found = patterns([*both, *uneven, *sure, *one_order, choice("x", "person-1", 1, False)])
    assert found["overall"] == [({"a": 1, "c": 0, "person-1": 1}, 1)]


def test_every_measure_has_a_row_and_models_and_people_are_compared_by_their_majorities(tmp_path: Path) -> None:
    verdicts = [
        harm(s, m, level, ("Drugs",) if level else ())
        for s, level in zip("wxyz", (0, 0, 2, 2), strict=True)
        for m in "abc"
    ]
    verdicts += [
        harm(s, "person-1", level, ("Drugs",) if level else ()) for s, level in zip("wxy", (0, 2, 3), strict=True)
    ]
    rows = read(agreement(agreement_patterns(with_opinions(verdicts)["opinions"], str(tmp_path)), 0, str(tmp_path)))
    assert {row["question"] for row in rows} == set(AGREEMENT_QUESTIONS)
    assert len(rows) == len(AGREEMENT_QUESTIONS) * len(BETWEEN) * 3
    found = {(row["question"], row["between"], row["measure"]): (row["value"], row["subjects"]) for row in rows}
    assert found["safety", "models", "kappa"] == (1.0, 4)
    assert found["safety", "models and people", "percent"] == (pytest.approx(2 / 3), 3)
    assert found["severity", "models and people", "percent"] == (pytest.approx(1 / 3), 3)
    assert found["safety", "people", "alpha"] == (None, 0)
    assert found[HARM_CATEGORIES[0], "models", "kappa"] == (None, 4)
    assert found["overall", "models", "percent"] == (None, 0)


def test_people_of_whom_each_judges_some_answers_have_an_alpha_and_a_kappa(tmp_path: Path) -> None:
    sides = [("person-1", "person-2"), ("person-2", "person-3"), ("person-3", "person-1")]
    verdicts = [harm(f"{n}", name, n % 2 * 2, ("Drugs",) * (n % 2)) for n in range(12) for name in sides[n % 3]]
    rows = measured(
        warehouse.read(agreement_patterns(with_opinions(verdicts)["opinions"], str(tmp_path))), 0
    ).to_pylist()
    found = {(row["question"], row["between"], row["measure"]): (row["value"], row["subjects"]) for row in rows}
    assert found["safety", "people", "kappa"] == (pytest.approx(1), 12)
    assert found["safety", "people", "alpha"] == (1.0, 12)


def test_every_two_annotators_are_compared_over_what_both_judged(tmp_path: Path) -> None:
    verdicts = [harm(f"{n}", name, n % 2, ("Drugs",) * (n % 2)) for n in range(6) for name in ("a", "person-1")]
    verdicts += [harm(f"{n}", "b", (n + 1) % 2, ("Drugs",) * ((n + 1) % 2)) for n in range(4)]
    cells = {
        (row["annotator"], row["other"]): (row["kappa"], row["subjects"])
        for row in pairwise(patterns_of(verdicts, tmp_path))
    }
    assert cells["a", "person-1"] == cells["person-1", "a"] == (pytest.approx(1.0), 6)
    assert cells["a", "b"] == (pytest.approx(-1.0), 4)
