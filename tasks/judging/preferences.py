"""Compare the two answers of every pair.

In: table `pairs`, and what people said of them. Out: tables `verdicts`, `opinions` and `preferences`. Grain: one row per
pair.
Helpfulness, harmlessness and the overall choice are asked apart, each in both orders.
"""

from collections.abc import Sequence

import pyarrow as pa

from tasks import warehouse
from tasks.config import Config
from tasks.judging.consensus import weigh
from tasks.judging.cycles import resolve
from tasks.judging.rubric import PAIR_MESSAGE
from tasks.judging.verdicts import judge_by
from tasks.tables import (
    OPINIONS,
    PREFERENCES,
    RESOLVED,
    SCREENED_PREFERENCES,
    SUBJECTS,
    VERDICTS,
    Cost,
    Ref,
    Stage,
)
from tasks.work.job import RunJob


def prefer(config: Config, pairs: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Have all pairs judged, and settle three preferences each; `people` are tables `verdicts` of people.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    subjects = warehouse.build(SUBJECTS, folder, "preference_subjects", {"pairs": pairs}, message=PAIR_MESSAGE)
    said: list[Ref] = []
    costs: dict[str, Cost] = {}
    for judge in config.judges:
        if judge.format == "rubric":
            found, spent = judge_by(config, judge, "preferences", subjects, folder, run)
            said += found
            costs |= spent
    verdicts = warehouse.build(
        VERDICTS, folder, "all_verdicts", {"verdicts": [*said, *people] or VERDICTS.schema.empty_table()}
    )
    opinions = warehouse.build(OPINIONS, folder, "opinions", {"verdicts": verdicts})
    inputs = {
        "pairs": pairs,
        "verdicts": verdicts,
        "opinions": opinions,
        "posteriors": weigh(config.consensus, opinions, folder),
    }
    first = settle(inputs, RESOLVED.schema.empty_table(), folder)
    resolved = resolve(pairs, first, folder)
    looked_at = settle(inputs, resolved, folder) if resolved.rows else first
    preferences, dropped = warehouse.sift(PREFERENCES, folder, looked_at, "pairs_to_preferences")
    tables = {
        "preference_verdicts": verdicts,
        "preference_opinions": opinions,
        "preferences": preferences,
        "screened_preferences": looked_at,
        "resolved": resolved,
    }
    return Stage("pairs_to_preferences", "pair", looked_at.rows, preferences.rows, dropped, tables, costs)


def settle(inputs: dict[str, Ref | pa.Table], resolved: Ref | pa.Table, folder: str) -> Ref:
    """Decide every pair by its votes, and those in circles by what `resolved` says."""
    return warehouse.build(SCREENED_PREFERENCES, folder, "screened_preferences", {**inputs, "resolved": resolved})
