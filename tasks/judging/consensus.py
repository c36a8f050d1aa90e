"""Weigh what annotators say: Dawid-Skene over the opinions of models on each question.

In: table `opinions`. Out: table `posteriors`. Grain: one row per answer or pair and question.
An even opinion is left out. Rows of opinions are held in memory, one per subject and model, since the library wants them
there.
"""

import pyarrow as pa
import pyarrow.compute as pc

from tasks import warehouse
from tasks.config import Consensus
from tasks.tables import POSTERIORS, Ref

STANDS_ON = ("crowd-kit", "numpy", "pandas", "pyarrow")
ITERATIONS = 100


def weigh(consensus: Consensus, opinions: Ref, folder: str) -> Ref | pa.Table:
    """The probability of `unsafe`, or of answer 1, for each subject and question; no rows under `majority`.

    Method: Dawid and Skene, Applied Statistics 28 (1979), as in crowd-kit.

    Raises:
        StorageError: the folder cannot be written.
    """
    if consensus.method == "majority":
        return POSTERIORS.schema.empty_table()
    return warehouse.derive(POSTERIORS, folder, posteriors, STANDS_ON, {"opinions": opinions})


def posteriors(opinions: pa.Table) -> pa.Table:
    """Fit each question by itself; a question with one model says what that model says."""
    from crowdkit.aggregation import DawidSkene  # noqa: PLC0415 (it takes more than a second)

    fitted = []
    for question, group in weighable(opinions).to_pandas().groupby("question"):
        found = DawidSkene(n_iter=ITERATIONS).fit_predict_proba(group)
        for label in (0, 1):
            if label not in found:
                found[label] = 0.0
        fitted.append(
            pa.table(
                {
                    "subject_id": found.index.to_list(),
                    "question": [question] * len(found),
                    "probability": found[1].to_list(),
                },
                schema=POSTERIORS.schema,
            )
        )
    return pa.concat_tables(fitted) if fitted else POSTERIORS.schema.empty_table()


def weighable(opinions: pa.Table) -> pa.Table:
    """The opinions of models that are not even, by the names that the library has for their columns."""
    counted = (pc.field("annotator_kind") == "model") & pc.field("opinion").is_valid() & ~pc.field("is_even")
    kept = opinions.filter(counted).select(["question", "subject_id", "annotator", "opinion"])
    return kept.rename_columns(["question", "task", "worker", "label"])
