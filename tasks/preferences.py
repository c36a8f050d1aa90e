"""Compare the two answers of every pair.

In: table `pairs`. Out: tables `verdicts` and `preferences`. Grain: one row per pair.
Helpfulness, harmlessness and the overall choice are asked apart, each in both orders.
"""

from tasks import warehouse
from tasks.config import Config
from tasks.job import RunJob
from tasks.rubric import PAIR_MESSAGE
from tasks.tables import DROPPED, PREFERENCES, SUBJECTS, VERDICTS, Ref, Stage, screened
from tasks.verdicts import judge_subjects


def prefer(config: Config, pairs: Ref, folder: str, run: RunJob) -> Stage:
    """Have all pairs judged, and settle three preferences each.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    subjects = warehouse.build(SUBJECTS, folder, "preference_subjects", {"pairs": pairs}, message=PAIR_MESSAGE)
    votes, cost = judge_subjects(config, "preferences", subjects, folder, run)
    verdicts = warehouse.build(VERDICTS, folder, "all_verdicts", {"verdicts": votes or VERDICTS.schema.empty_table()})
    looked_at = warehouse.build(
        screened(PREFERENCES), folder, "screened_preferences", {"pairs": pairs, "verdicts": verdicts}
    )
    preferences = warehouse.build(PREFERENCES, folder, "preferences", {"screened": looked_at})
    dropped = warehouse.build(
        DROPPED, folder, "dropped", {"screened": looked_at}, table_name="preferences", stage="pairs_to_preferences"
    )
    tables = {"preference_verdicts": verdicts, "preferences": preferences}
    return Stage("pairs_to_preferences", "pair", looked_at.rows, preferences.rows, dropped, tables, cost)
