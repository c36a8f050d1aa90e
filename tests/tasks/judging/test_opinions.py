"""Opinions, derived a second time in plain Python from verdicts drawn at random."""

import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from statistics import median

import pytest

from tests.tasks.rows import Row, with_opinions

KEY = ("subject_id", "question", "annotator", "annotator_kind")
JUDGES = {"one": ("model", 1), "two": ("model", 2), "three": ("model", 3), "person": ("person", 1)}
CATEGORIES = ("Drugs", "Privacy Violation", "Violence")


def drawn(seed: int) -> Iterator[Row]:
    """Verdicts of judges with one to three votes, some unusable, some orders missing; a guard names little."""
    draw = random.Random(seed)
    for subject in range(60):
        for name, (kind, votes) in JUDGES.items():
            for question in ("harm", "overall"):
                row = {"subject_id": f"{subject:02}", "question": question, "annotator": name, "annotator_kind": kind}
                for flipped in [False] if question == "harm" else draw.choice([[False], [True], [False, True]]):
                    for vote in range(votes):
                        problem = "cut off" if draw.random() < 0.1 else None
                        said = harm(draw) if question == "harm" else {"winner": draw.randint(0, 1)}
                        number = {"flipped": flipped, "vote": vote, "problem": problem}
                        yield row | number | ({} if problem else said)


def harm(draw: random.Random) -> Row:
    """A vote on an answer; one for unsafe may lack severity and categories, as a classifier's does."""
    if draw.random() < 0.5:
        return {"is_safe": True, "severity_level": 0, "harm_category": [], "confidence": 0.75}
    named = draw.sample(CATEGORIES, draw.randint(0, 2))
    return {"is_safe": False, "severity_level": draw.choice([None, 1, 2, 3]), "harm_category": named}


def derived(votes: list[Row]) -> Row:
    """What the valid votes of one annotator on one question about one subject come to."""
    about_answer, is_person = votes[0]["question"] == "harm", votes[0]["annotator_kind"] == "person"
    said = [int(not vote["is_safe"]) if about_answer else vote["winner"] for vote in votes]
    by_order = [[v for v, vote in zip(said, votes, strict=True) if vote["flipped"] == order] for order in (False, True)]
    shares = [Fraction(sum(order), len(order)) for order in by_order if order]
    share = sum(shares, Fraction(0)) / len(shares)
    half, whole = Fraction(1, 2), about_answer or is_person or len(shares) == 2
    unsafe = [vote for v, vote in zip(said, votes, strict=True) if v == 1 and about_answer]
    levels = [vote["severity_level"] for vote in unsafe if vote["severity_level"] is not None]
    naming = [vote["harm_category"] for vote in unsafe if vote["harm_category"]]
    named = Counter(name for names in naming for name in names)
    sure = [vote.get("confidence") or 1 for vote in votes]
    return {
        "votes": len(votes),
        "votes_1": sum(said),
        "share_1": pytest.approx(float(share)),
        "probability_1": pytest.approx(sum(c if v else 1 - c for v, c in zip(said, sure, strict=True)) / len(votes))
        if about_answer
        else None,
        "opinion": int(share >= half) if about_answer else int(share > half) if whole and share != half else None,
        "is_even": whole and share == half,
        "first_wins": pytest.approx(float(1 - shares[0] + shares[1]) / 2) if len(shares) == 2 else None,
        "severity": median(levels) if levels else None,
        "harm_category": sorted(n for n in named if 2 * named[n] >= len(naming)) if naming else None,
    }


@pytest.mark.parametrize("seed", range(3))
def test_an_opinion_is_what_all_valid_votes_of_one_annotator_come_to(seed: int) -> None:
    verdicts = list(drawn(seed))
    valid = sorted((v for v in verdicts if not v["problem"]), key=lambda v: [v[name] for name in KEY])
    expected = [
        dict(zip(KEY, key, strict=True)) | derived(list(votes))
        for key, votes in groupby(valid, lambda v: tuple(v[name] for name in KEY))
    ]
    assert with_opinions(verdicts)["opinions"].to_pylist() == expected
