"""Choose what people are asked within their budget, and estimate from an audit how often models are wrong.

In: all answers and pairs, with their labels and preferences or the reasons why they have none. Out: table `review_queue`,
and the estimate. Grain: one row per answer or pair.
"""

from dataclasses import dataclass

from scipy.stats import binomtest

from tasks import warehouse
from tasks.config import Config, Review
from tasks.tables import REVIEW_QUEUE, Ref
from tasks.warehouse import Tables

LOW_CONFIDENCE = 0.8
RARE = 0.02
"""Share of the unsafe answers below which a harm category is rare."""


@dataclass(frozen=True)
class LabelError:
    """How often models call an answer safe or unsafe otherwise than people do: `wrong` of `audited` answers.

    `rate` with its 95% interval [`low`, `high`]; `drawn` answers are in the audit. It is judged in the order in which it is
    drawn, and counts up to the first answer that nobody has judged, or that was skipped.
    """

    drawn: int
    audited: int
    wrong: int
    rate: float
    low: float
    high: float


def queue(config: Config, review: Review, tables: Tables, folder: str) -> Ref:
    """What people are asked next; raises StorageError where the folder cannot be written."""
    inputs = {
        "labels": tables["screened_labels"],
        "model_labels": tables["model_labels"],
        "preferences": tables["screened_preferences"],
    }
    return warehouse.build(
        REVIEW_QUEUE,
        folder,
        "review_queue",
        inputs,
        seed=config.seed,
        answers=review.answers,
        pairs=review.pairs,
        audit_share=review.audit_share,
        low_confidence=LOW_CONFIDENCE,
        rare=RARE,
    )


def label_error(config: Config, review: Review, tables: Tables) -> LabelError | None:
    """The share of wrong labels among `model_labels`, estimated without bias from the audit; None before people judged any of it.

    The audit is a simple random sample of all answers that models labelled. Interval: Wilson's score interval (JASA 22, 1927).
    """
    (found,) = warehouse.rows(
        "audited", tables, seed=config.seed, answers=review.answers, audit_share=review.audit_share
    )
    if not found["audited"]:
        return None
    interval = binomtest(found["wrong"], found["audited"]).proportion_ci(method="wilson")
    return LabelError(**found, rate=found["wrong"] / found["audited"], low=interval.low, high=interval.high)
