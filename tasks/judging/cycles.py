"""Resolve preferences that go round in a circle, by the strength that Bradley-Terry gives each answer.

In: table `pairs`, and what was preferred in each. Out: table `resolved`. Grain: one row per pair and question of every
prompt and responder with a circle.
"""

import numpy as np
import pyarrow as pa

from tasks import warehouse
from tasks.identity import digest
from tasks.tables import CIRCLES, RESOLVED, Ref

STANDS_ON = ("tasks.identity", "numpy", "pyarrow")
ITERATIONS = 200
TIE = 1e-9
"""What tells answers of one strength apart, as a share of it."""
PRIOR_WINS = 0.1
"""Wins of every answer over every other that nobody saw, so that an answer that always wins has a finite strength."""


def resolve(pairs: Ref, screened: Ref, folder: str) -> Ref:
    """The probability that answer 1 beats answer 0, for each pair of a prompt whose preferences are circular.

    Raises:
        StorageError: the folder cannot be written.
    """
    circles = warehouse.build(CIRCLES, folder, "circles", {"pairs": pairs, "screened": screened})
    return warehouse.derive(RESOLVED, folder, untie, STANDS_ON, {"circles": circles})


def untie(circles: pa.Table) -> pa.Table:
    """Fit the answers of each prompt, responder and question by themselves."""
    groups: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for row in circles.to_pylist():
        groups.setdefault((row["prompt_id"], row["responder"], row["question"]), []).append(row)
    found: list[dict[str, object]] = []
    for (_, _, question), compared in groups.items():
        known = {str(row[side]) for row in compared for side in ("response_0_id", "response_1_id")}
        answers = sorted(known, key=lambda answer: digest(question, answer))
        place = {answer: number for number, answer in enumerate(answers)}
        sides = [(place[str(row["response_0_id"])], place[str(row["response_1_id"])]) for row in compared]
        strength = bradley_terry(len(answers), sides, [float(str(row["share_1"])) for row in compared])
        # Answers of one strength, as in a circle of even votes, are ordered by the hash, else each pair would fall to a coin.
        strength *= 1 + TIE * np.arange(len(answers))
        found += [
            {"pair_id": row["pair_id"], "question": question, "probability": strength[b] / (strength[a] + strength[b])}
            for row, (a, b) in zip(compared, sides, strict=True)
        ]
    return pa.Table.from_pylist(found, schema=RESOLVED.schema)


def bradley_terry(answers: int, pairs: list[tuple[int, int]], shares: list[float]) -> np.ndarray:
    """The strength of each of so many answers; `shares` are the votes of each of `pairs` for its second answer.

    Method: the minorization-maximization of Hunter, Annals of Statistics 32 (2004), equation 3.
    """
    wins = np.full((answers, answers), PRIOR_WINS)
    np.fill_diagonal(wins, 0)
    for (a, b), share in zip(pairs, shares, strict=True):
        wins[b, a] += share
        wins[a, b] += 1 - share
    met = wins + wins.T
    strength = np.ones(answers)
    for _ in range(ITERATIONS):
        strength = wins.sum(axis=1) / (met / (strength[:, None] + strength[None, :])).sum(axis=1)
        strength /= strength.sum()
    return strength
