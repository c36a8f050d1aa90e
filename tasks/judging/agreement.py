"""Measure how far annotators agree: models with models, people with people, and models with people.

In: table `opinions`. Out: tables `agreement_patterns` and `agreement`. Grain: one row per question, sides and measure,
the ones that do not exist included, as nulls.
Every measure is a function of sums over subjects, so that patterns and their counts are enough, and a bootstrap over
subjects draws counts anew.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tasks import warehouse
from tasks.judging.measures import COHEN, FLEISS, NOMINAL_ALPHA, ORDINAL_ALPHA, PERCENT, estimate
from tasks.tables import AGREEMENT, AGREEMENT_QUESTIONS, HARM_CATEGORIES, PATTERNS, Ref
from tasks.warehouse import Source

BETWEEN = ("models", "people", "models and people")
STANDS_ON = ("tasks.judging.measures", "tasks.tables", "numpy", "pyarrow")
KINDS = {"models": "model", "people": "person"}


def agreement_patterns(opinions: Source, folder: str) -> Ref:
    """The table `opinions`, reduced to distinct lists of opinions and how often each occurs.

    Raises:
        StorageError: the folder cannot be written.
    """
    return warehouse.build(
        PATTERNS, folder, "agreement_patterns", {"opinions": opinions}, harm_categories=list(HARM_CATEGORIES)
    )


def agreement(patterns: Ref, seed: int, folder: str) -> Ref:
    """All measures of all questions, each with its 95% interval.

    Raises:
        StorageError: the folder cannot be written.
    """
    return warehouse.derive(AGREEMENT, folder, measured, STANDS_ON, {"patterns": patterns}, seed=seed)


def measured(patterns: pa.Table, seed: int) -> pa.Table:
    """The table `agreement` of these patterns."""
    by_question: dict[str, list[dict[str, Any]]] = {question: [] for question in AGREEMENT_QUESTIONS}
    for pattern in patterns.to_pylist():
        by_question[pattern["question"]].append(pattern)
    rows = [
        {"question": question, "between": between, **row}
        for question, asked in by_question.items()
        for between in BETWEEN
        for row in measures(*opinions(asked, between), question == "severity", seed)
    ]
    return pa.Table.from_pylist(rows, schema=AGREEMENT.schema)


def opinions(patterns: Sequence[dict[str, Any]], between: str) -> tuple[np.ndarray, np.ndarray]:
    """Values by pattern and rater, NaN for none, and the count of each pattern.

    Raters are the annotators of one kind, or, between models and people, the majority of each as two raters.
    """
    if between in KINDS:
        chosen = [[o for o in pattern["opinions"] if o["kind"] == KINDS[between]] for pattern in patterns]
        place = {name: n for n, name in enumerate(sorted({o["annotator"] for listed in chosen for o in listed}))}
        values = np.full((len(chosen), len(place)), np.nan)
        for row, listed in zip(values, chosen, strict=True):
            for o in listed:
                row[place[o["annotator"]]] = o["value"]
    else:
        sides = [[majority(pattern, KINDS[side]) for side in KINDS] for pattern in patterns]
        values = np.array(sides, dtype=float).reshape(len(patterns), 2)
    return values, np.array([pattern["subjects"] for pattern in patterns], dtype=np.int64)


def majority(pattern: dict[str, Any], kind: str) -> float:
    """What at least half of the annotators of one kind say; NaN where there are none, or where a preference is even.

    Severity is the median of those who say unsafe, rounded up.
    """
    values = np.array([opinion["value"] for opinion in pattern["opinions"] if opinion["kind"] == kind])
    preference = pattern["question"] in ("helpfulness", "harmlessness", "overall")
    share = (values > 0).mean() if len(values) else np.nan
    if np.isnan(share) or (preference and share == 0.5):
        return float("nan")
    return float(np.ceil(np.median(values[values > 0]))) if share >= 0.5 else 0.0


def measures(values: np.ndarray, counts: np.ndarray, ordinal: bool, seed: int) -> Iterator[dict[str, Any]]:
    """Percent, kappa (Cohen's of two raters, Fleiss' of more) and alpha of the subjects that two raters or more judged."""
    usable = np.isfinite(values).sum(axis=1) >= 2
    for name, measure in (
        ("percent", PERCENT),
        ("kappa", COHEN if values.shape[1] == 2 else FLEISS),
        ("alpha", ORDINAL_ALPHA if ordinal else NOMINAL_ALPHA),
    ):
        found = estimate(measure, values[usable], counts[usable], seed)
        yield {"measure": name, "subjects": int(counts[usable].sum()), **found._asdict()}


def pairwise(patterns: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cohen's kappa for safe or unsafe of every two annotators, and how many answers both judged; models come first."""
    asked = [pattern for pattern in patterns if pattern["question"] == "safety"]
    names = sorted({(o["kind"], o["annotator"]) for pattern in asked for o in pattern["opinions"]})
    values = np.full((len(asked), len(names)), np.nan)
    for row, pattern in zip(values, asked, strict=True):
        for o in pattern["opinions"]:
            row[names.index((o["kind"], o["annotator"]))] = o["value"]
    counts = np.array([pattern["subjects"] for pattern in asked], dtype=np.int64)
    return [
        {"annotator": name, "kind": kind, "other": other, **kappa_of(values[:, [a, b]], counts)}
        for a, (kind, name) in enumerate(names)
        for b, (_, other) in enumerate(names)
        if a != b
    ]


def kappa_of(values: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Cohen's kappa of two raters over what both judged, None where it does not exist, and how much that is."""
    both = np.isfinite(values).all(axis=1)
    subjects = int(counts[both].sum())
    kappa = float(COHEN.worth((counts[both] @ COHEN.sums(values[both]))[None])[0]) if subjects else math.nan
    return {"kappa": None if math.isnan(kappa) else kappa, "subjects": subjects}
