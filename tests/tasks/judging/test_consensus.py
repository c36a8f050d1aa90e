import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowdkit.aggregation import BradleyTerry

from tasks import warehouse
from tasks.config import Consensus
from tasks.identity import digest
from tasks.judging.consensus import weigh
from tasks.judging.cycles import bradley_terry, untie
from tasks.tables import (
    PAIRS,
    POSTERIORS,
    RESOLVED,
    SCREENED_PREFERENCES,
    Ref,
)
from tests.tasks.rows import Row, make, read, select, with_opinions


def kept(folder: Path, rows: list[Row]) -> Ref:
    uri = folder / "opinions.parquet"
    pq.write_table(with_opinions(rows)["opinions"], uri)
    return Ref(str(uri), len(rows), digest(len(rows)))


def test_dawid_skene_trusts_the_annotator_that_is_right_more_often(tmp_path: Path) -> None:
    draw = random.Random(1)
    truth = [draw.random() < 0.5 for _ in range(400)]
    errors = {"good": 0.05, "fair": 0.2, "bad": 0.45, "worse": 0.45, "worst": 0.45}
    rows: list[Row] = [
        {"subject_id": f"{n:03}", "question": "harm", "annotator": name, "annotator_kind": "model", "flipped": False}
        | {"is_safe": unsafe == (draw.random() < error)}
        for n, unsafe in enumerate(truth)
        for name, error in errors.items()
    ]
    weighed = weigh(Consensus(method="dawid-skene"), kept(tmp_path, rows), str(tmp_path))
    assert isinstance(weighed, Ref)
    found = {row["subject_id"]: row["probability"] >= 0.5 for row in read(weighed)}
    right = np.mean([found[f"{n:03}"] == unsafe for n, unsafe in enumerate(truth)])
    by_subject: dict[str, list[bool]] = {}
    for row in rows:
        by_subject.setdefault(row["subject_id"], []).append(not row["is_safe"])
    majority = np.mean([(sum(by_subject[f"{n:03}"]) > 2) == unsafe for n, unsafe in enumerate(truth)])
    assert right > 0.9 > majority


def test_majority_weighs_nothing_and_people_are_not_weighed(tmp_path: Path) -> None:
    person = {
        "subject_id": "a",
        "question": "harm",
        "annotator": "person-1",
        "annotator_kind": "person",
        "is_safe": True,
    }
    assert weigh(Consensus(), kept(tmp_path, [person]), str(tmp_path)).num_rows == 0  # type: ignore[union-attr]
    weighed = weigh(Consensus(method="dawid-skene"), kept(tmp_path, [person]), str(tmp_path))
    assert isinstance(weighed, Ref)
    assert weighed.rows == 0


def circle(safer: list[int]) -> list[Row]:
    sides = [("a", "b"), ("b", "c"), ("a", "c")]
    where = {"prompt_id": "p", "responder": "r", "severity_0": 0, "severity_1": 0}
    return [where | {"pair_id": f"{x}{y}", "response_0_id": x, "response_1_id": y} for x, y in sides]


def test_dawid_skene_leaves_out_what_was_judged_in_one_order(tmp_path: Path) -> None:
    said: Row = {"question": "overall", "annotator_kind": "model"}
    both = [
        said | {"subject_id": f"p{n}", "annotator": "a", "winner": n % 2, "flipped": flipped}
        for n in range(6)
        for flipped in (False, True)
    ]
    first = [
        said | {"subject_id": f"p{n}", "annotator": b, "winner": 0, "flipped": False} for n in range(6) for b in "bc"
    ]
    weighed = weigh(Consensus(method="dawid-skene"), kept(tmp_path, [*both, *first]), str(tmp_path))
    assert isinstance(weighed, Ref)
    assert [round(row["probability"]) for row in sorted(read(weighed), key=lambda row: str(row["subject_id"]))] == [
        0,
        1,
    ] * 3


@pytest.mark.parametrize(("winners", "circular"), [([1, 1, 0], True), ([1, 1, 1], False), ([0, 0, 1], True)])
def test_preferences_that_go_round_are_found(tmp_path: Path, winners: list[int], circular: bool) -> None:
    pairs = circle(winners)
    decided = [
        {"pair_id": pair["pair_id"], "better_response_id": winner, "better_agreement": 0.75}
        | {"safer_response_id": 0, "safer_agreement": 1.0, "overall_response_id": 0, "overall_agreement": 1.0}
        for pair, winner in zip(pairs, winners, strict=True)
    ]
    inputs = {"pairs": make(PAIRS, pairs), "screened": make(SCREENED_PREFERENCES, decided)}
    found = [row for row in warehouse.rows("circles", inputs) if row["question"] == "helpfulness"]
    assert len(found) == (3 if circular else 0)
    assert {row["share_1"] for row in found} <= {0.25, 0.75}


def test_a_longer_circle_is_found_where_not_all_pairs_were_compared() -> None:
    where = {"prompt_id": "p", "responder": "r", "severity_0": 0, "severity_1": 0}
    sides = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    pairs = [where | {"pair_id": x + y, "response_0_id": x, "response_1_id": y} for x, y in sides]
    even = dict.fromkeys(("better_agreement", "safer_agreement", "overall_agreement"), 1.0)
    won = dict.fromkeys(("better_response_id", "safer_response_id", "overall_response_id"), 0)
    decided = [{"pair_id": x + y} | won | even for x, y in sides]
    inputs = {"pairs": make(PAIRS, pairs), "screened": make(SCREENED_PREFERENCES, decided)}
    assert len(warehouse.rows("circles", inputs)) == 4 * 3


def test_an_even_circle_is_resolved_into_an_order() -> None:
    rows: list[Row] = [
        {"prompt_id": f"p{n}", "responder": "r", "question": "overall", "pair_id": f"{n}{x}{y}", "share_1": share}
        | {"response_0_id": f"{n}{x}", "response_1_id": f"{n}{y}"}
        for n in range(40)
        for x, y, share in (("a", "b", 0.0), ("b", "c", 0.0), ("a", "c", 1.0))
    ]
    found = {
        str(row["pair_id"])[-2:] + str(row["pair_id"])[:-2]: row["probability"] > 0.5
        for row in untie(pa.Table.from_pylist(rows)).to_pylist()
    }
    for n in range(40):
        ab, bc, ac = (found[f"{pair}{n}"] for pair in ("ab", "bc", "ac"))
        assert not (ab == bc != ac)
    assert len({found[f"ab{n}"] for n in range(40)}) == 2


def test_a_circle_is_resolved_by_the_votes_behind_it() -> None:
    # a beats b narrowly, b beats c clearly, c beats a narrowly: a is weaker than b.
    strength = bradley_terry(3, [(0, 1), (1, 2), (0, 2)], [0.45, 0.1, 0.6])
    assert strength[1] > strength[0] > strength[2]


def test_bradley_terry_agrees_with_the_library() -> None:
    draw = random.Random(3)
    votes = [(a, b, draw.random() < 0.3 + 0.1 * (b - a)) for a in range(4) for b in range(a + 1, 4) for _ in range(200)]
    rows: list[Row] = [{"worker": "w", "left": a, "right": b, "label": b if second else a} for a, b, second in votes]
    library = BradleyTerry(n_iter=500).fit_predict(pd.DataFrame(rows))
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    shares = [float(np.mean([second for x, y, second in votes if (x, y) == pair])) for pair in pairs]
    ours = bradley_terry(4, pairs, shares)
    assert list(np.argsort(ours)) == list(np.argsort([library[n] for n in range(4)]))


def test_a_resolved_circle_decides_and_a_safe_answer_still_beats_an_unsafe_one(tmp_path: Path) -> None:
    judged: Row = {"subject_id": "x", "annotator": "j", "annotator_kind": "model"}
    verdicts = [
        judged | {"question": question, "flipped": flipped, "winner": 0}
        for question in ("helpfulness", "harmlessness", "overall")
        for flipped in (False, True)
    ]
    pair = {"pair_id": "x", "severity_0": 0, "severity_1": 2}
    resolved = [{"pair_id": "x", "question": q, "probability": 0.9} for q in ("helpfulness", "harmlessness")]
    inputs = {"pairs": make(PAIRS, [pair])} | with_opinions(verdicts)
    inputs |= {"resolved": make(RESOLVED, resolved), "posteriors": make(POSTERIORS, [])}
    row = select(SCREENED_PREFERENCES, tmp_path, "screened_preferences", inputs)[0]
    assert (row["better_response_id"], row["better_agreement"], row["safer_response_id"]) == (1, 0, 0)
