"""Compare the two answers of every pair.

In: table `pairs`, and what people said of them. Out: tables `verdicts`, `opinions` and `preferences`. Grain: one row per
pair.
Helpfulness, harmlessness and the overall choice are asked apart, each in both orders.
"""

from collections.abc import Sequence

from tasks import warehouse
from tasks.config import Config
from tasks.judging.cycles import resolve
from tasks.judging.rubric import PAIR_MESSAGE
from tasks.judging.verdicts import Annotations, annotations, ask_judges
from tasks.tables import PREFERENCES, RESOLVED, SCREENED_PREFERENCES, SUBJECTS, Ref, Stage
from tasks.warehouse import Source
from tasks.work.job import RunJob


def prefer(config: Config, pairs: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Have all pairs judged, and settle three preferences each; `people` are tables `verdicts` of people.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    shown = warehouse.build(SUBJECTS, folder, "preference_subjects", {"pairs": pairs}, message=PAIR_MESSAGE)
    subjects = {judge.name: shown for judge in config.judges if judge.format == "rubric"}
    judged, costs = ask_judges(config, "preferences", subjects, folder, run)
    found = annotations(config, [*judged, *people], folder)
    first = decide(pairs, found, RESOLVED.schema.empty_table(), folder)
    resolved = resolve(pairs, first, folder)
    looked_at = decide(pairs, found, resolved, folder) if resolved.rows else first
    preferences, dropped = warehouse.sift(PREFERENCES, folder, looked_at, "pairs_to_preferences")
    tables = {
        "preference_verdicts": found.verdicts,
        "preference_opinions": found.opinions,
        "preferences": preferences,
        "screened_preferences": looked_at,
        "resolved": resolved,
    }
    return Stage("pairs_to_preferences", "pair", looked_at.rows, preferences.rows, dropped, tables, costs)


def decide(pairs: Ref, found: Annotations, resolved: Source, folder: str) -> Ref:
    """Every pair with its preferences, those in circles by what `resolved` says, or the reason why it has none."""
    inputs = {"pairs": pairs, "resolved": resolved, **found._asdict()}
    return warehouse.build(SCREENED_PREFERENCES, folder, "screened_preferences", inputs)
