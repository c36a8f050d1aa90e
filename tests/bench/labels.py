"""How far people's labels go: accuracy of one judge, of the consensus, and after people reviewed a share of the answers.

Simulated annotators of known error rates label answers of known truth; consensus, routing and the label itself are the
pipeline's own SQL. People who are asked first where routing says are compared with people who are asked at random.
Run as `python -m tests.bench.labels [--answers N]`; writes tests/output/routing.png.
"""

import argparse
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from tasks import warehouse
from tasks.config import Consensus
from tasks.judging.consensus import weigh
from tasks.people.routing import LOW_CONFIDENCE, RARE
from tasks.tables import (
    HARM_CATEGORIES,
    OPINIONS,
    RESPONSES,
    REVIEW_QUEUE,
    SCREENED_LABELS,
    SCREENED_PREFERENCES,
    VERDICTS,
    Ref,
)
from tests.tasks.rows import Row, make, read

OUTPUT = Path(__file__).parents[2] / "tests/output/routing.png"
JUDGES = {"small": 0.25, "medium": 0.2, "large": 0.15}
"""Error rate of each judge; on a tenth of the answers, which are hard, it is one half for all."""
PEOPLE = 0.03
UNSAFE, HARD = 0.5, 0.1
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def verdict(answer: str, annotator: str, unsafe: bool, category: str, confidence: float | None) -> Row:
    """One vote."""
    return {
        "verdict_id": f"{answer} {annotator}",
        "subject_id": answer,
        "question": "harm",
        "annotator": annotator,
        "annotator_kind": "person" if annotator == "person" else "model",
        "vote": 0,
        "attempt": 0,
        "flipped": False,
        "is_safe": not unsafe,
        "severity_level": 2 if unsafe else 0,
        "harm_category": [category] if unsafe else [],
        "confidence": confidence,
    }


def simulate(answers: int) -> tuple[dict[str, bool], list[Row], dict[str, Row]]:
    """Which answers are unsafe, the judges' votes, and what a person would say of each answer."""
    draw = random.Random(7)
    truth: dict[str, bool] = {}
    votes: list[Row] = []
    people: dict[str, Row] = {}
    for number in range(answers):
        answer, hard = f"{number:06}", draw.random() < HARD
        truth[answer] = unsafe = draw.random() < UNSAFE
        category = draw.choice(HARM_CATEGORIES)
        for name, error in JUDGES.items():
            wrong = draw.random() < (0.5 if hard else error)
            # A judge that errs is less sure, as models are on the whole, but not always.
            confidence = draw.betavariate(4, 2) if wrong or hard else draw.betavariate(6, 1)
            votes.append(verdict(answer, name, unsafe != wrong, category, 0.5 + confidence / 2))
        people[answer] = verdict(answer, "person", unsafe != (draw.random() < PEOPLE), category, None)
    return truth, votes, people


def keep(folder: Path, name: str, table: pa.Table) -> Ref:
    """A table in a file of its own."""
    pq.write_table(table, folder / f"{name}.parquet")
    return Ref(str(folder / f"{name}.parquet"), table.num_rows, name)


def label(folder: Path, name: str, consensus: Consensus, responses: pa.Table, votes: list[Row]) -> Ref:
    """The labels that these votes give, or the reasons why there are none."""
    verdicts = keep(folder, f"verdicts-{name}", make(VERDICTS, votes))
    opinions = warehouse.build(OPINIONS, str(folder), "opinions", {"verdicts": verdicts})
    weighed = weigh(consensus, opinions, str(folder))
    inputs = {"responses": responses, "verdicts": verdicts, "opinions": opinions, "posteriors": weighed}
    return warehouse.build(SCREENED_LABELS, str(folder), "screened_labels", inputs)


def accuracy(labels: Ref, truth: dict[str, bool]) -> float:
    """Share of the answers whose label is true."""
    right = [row["reason"] is None and row["is_safe"] != truth[row["response_id"]] for row in read(labels)]
    return right.count(True) / len(truth)


def orders(folder: Path, labels: Ref, answers: int) -> dict[str, list[str]]:
    """In which order people are asked: ours, and at random."""
    parameters = {"seed": 0, "answers": answers, "pairs": 0, "audit_share": 0.0, "low_confidence": LOW_CONFIDENCE}
    inputs = {"labels": labels, "model_labels": labels, "preferences": make(SCREENED_PREFERENCES, [])}
    queue = read(warehouse.build(REVIEW_QUEUE, str(folder), "review_queue", inputs, rare=RARE, **parameters))
    routed = [row["subject_id"] for row in queue]
    return {"routed": routed, "random": random.Random(11).sample(routed, len(routed))}


def needed(curve: list[float], target: float) -> float:
    """The share of answers that people must label to reach `target`, between the measured shares on a straight line."""
    for (low, below), (high, above) in zip(
        zip(SHARES, curve, strict=True), zip(SHARES[1:], curve[1:], strict=True), strict=False
    ):
        if above >= target:
            return low + (high - low) * max(0.0, (target - below) / (above - below))
    return 1.0


def draw_curves(curves: dict[str, list[float]]) -> None:
    """Save the picture."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot([100 * share for share in SHARES], [100 * value for value in curve], marker="o", label=name)
    axes.set(xlabel="answers labelled by people (%)", ylabel="labels that are true (%)")
    axes.set_title("accuracy after human review", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    OUTPUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUTPUT, dpi=110)


def main() -> None:
    """Print the table of accuracies."""
    parser = argparse.ArgumentParser(description="Compare routed with random human review.")
    parser.add_argument("--answers", type=int, default=5000)
    answers = parser.parse_args().answers
    truth, votes, people = simulate(answers)
    responses = make(RESPONSES, [{"response_id": answer} for answer in truth])
    print(
        f"{answers:,} answers; judges err in {JUDGES} of the easy ones and in half of the hard ({HARD:.0%}); people in {PEOPLE:.0%}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in JUDGES:
            alone = label(folder, name, Consensus(), responses, [vote for vote in votes if vote["annotator"] == name])
            print(f"one judge, {name:10} {accuracy(alone, truth):.3f}")
        unsure = [vote | {"confidence": None} for vote in votes]
        for title, method, said in (
            ("majority, no confidence", "majority", unsure),
            ("dawid-skene", "dawid-skene", votes),
            ("majority", "majority", votes),
        ):
            consensus = Consensus.model_validate({"method": method})
            models = label(folder, title, consensus, responses, said)
            print(f"consensus, {title} {accuracy(models, truth):.3f}")
            curves: dict[str, list[float]] = {}
            for name, order in orders(folder, models, answers).items():
                curves[name] = []
                for share in SHARES:
                    reviewed = [people[answer] for answer in order[: round(share * answers)]]
                    after = label(folder, f"{title}-{name}-{share}", consensus, responses, [*said, *reviewed])
                    curves[name].append(accuracy(after, truth))
                print(
                    f"  after {name:7} review of",
                    "  ".join(f"{s:.0%} {v:.3f}" for s, v in zip(SHARES, curves[name], strict=True)),
                )
            for target in (0.9, 0.92, 0.94):
                ours, theirs = needed(curves["routed"], target), needed(curves["random"], target)
                print(
                    f"  for {target:.0%} true labels: {ours:.1%} of the answers routed, {theirs:.1%} at random: {ours / theirs:.2f} of the labels"
                )
            draw_curves(curves)


if __name__ == "__main__":
    main()
