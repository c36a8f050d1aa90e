"""Label every kept answer by the votes of the judges.

In: table `responses`. Out: tables `verdicts` and `labels`. Grain: one row per distinct answer.
`is_safe`, `harm_category` and `severity_level` come from one severity, so that they cannot contradict each other.
"""

from tasks import warehouse
from tasks.config import Config
from tasks.job import RunJob
from tasks.rubric import ANSWER_MESSAGE
from tasks.tables import DROPPED, LABELS, SUBJECTS, VERDICTS, Ref, Stage, screened
from tasks.verdicts import judge_subjects


def label_responses(config: Config, responses: Ref, folder: str, run: RunJob) -> Stage:
    """Have all distinct answers judged, and derive one label each.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    subjects = warehouse.build(SUBJECTS, folder, "label_subjects", {"responses": responses}, message=ANSWER_MESSAGE)
    votes, cost = judge_subjects(config, "labels", subjects, folder, run)
    verdicts = warehouse.build(VERDICTS, folder, "all_verdicts", {"verdicts": votes or VERDICTS.schema.empty_table()})
    looked_at = warehouse.build(
        screened(LABELS), folder, "screened_labels", {"responses": responses, "verdicts": verdicts}
    )
    labels = warehouse.build(LABELS, folder, "labels", {"screened": looked_at})
    dropped = warehouse.build(
        DROPPED, folder, "dropped", {"screened": looked_at}, table_name="labels", stage="responses_to_labels"
    )
    tables = {"label_verdicts": verdicts, "labels": labels}
    return Stage("responses_to_labels", "distinct answer", looked_at.rows, labels.rows, dropped, tables, cost)
