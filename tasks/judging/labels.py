"""Label every kept answer by the verdicts of the judges and of people.

In: table `responses`, and what people said of them. Out: tables `verdicts`, `opinions` and `labels`. Grain: one row per distinct
answer.
`is_safe`, `harm_category` and `severity_level` come from one decision, so that they cannot contradict each other.
"""

from collections.abc import Sequence

from tasks import warehouse
from tasks.config import Config, Judge
from tasks.judging.classifiers import CLASSIFIERS
from tasks.judging.consensus import weigh
from tasks.judging.rubric import ANSWER_MESSAGE
from tasks.judging.verdicts import judge_by
from tasks.tables import (
    LABELS,
    OPINIONS,
    SCREENED_LABELS,
    SUBJECTS,
    VERDICTS,
    Cost,
    Ref,
    Stage,
)
from tasks.work.job import RunJob


def label_responses(config: Config, responses: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Have all distinct answers judged, and derive one label each; `people` are tables `verdicts` of people.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    said: list[Ref] = []
    costs: dict[str, Cost] = {}
    for judge in config.judges:
        found, spent = judge_by(config, judge, "labels", shown(judge, responses, folder), folder, run)
        said += found
        costs |= spent
    looked_at, verdicts, opinions = decide(config, responses, [*said, *people], folder)
    models = decide(config, responses, said, folder)[0] if any(ref.rows for ref in people) else looked_at
    labels, dropped = warehouse.sift(LABELS, folder, looked_at, "responses_to_labels")
    tables = {
        "label_verdicts": verdicts,
        "label_opinions": opinions,
        "labels": labels,
        "screened_labels": looked_at,
        "model_labels": models,
    }
    return Stage("responses_to_labels", "distinct answer", looked_at.rows, labels.rows, dropped, tables, costs)


def decide(config: Config, responses: Ref, said: Sequence[Ref], folder: str) -> tuple[Ref, Ref, Ref]:
    """Every answer with the label that these verdicts give, the verdicts in one table, and the opinions that they come to."""
    verdicts = warehouse.build(VERDICTS, folder, "all_verdicts", {"verdicts": said or VERDICTS.schema.empty_table()})
    opinions = warehouse.build(OPINIONS, folder, "opinions", {"verdicts": verdicts})
    inputs = {
        "responses": responses,
        "verdicts": verdicts,
        "opinions": opinions,
        "posteriors": weigh(config.consensus, opinions, folder),
    }
    return warehouse.build(SCREENED_LABELS, folder, "screened_labels", inputs), verdicts, opinions


def shown(judge: Judge, responses: Ref, folder: str) -> Ref:
    """The answers as this judge is shown them."""
    message = ANSWER_MESSAGE if judge.format == "rubric" else CLASSIFIERS[judge.format].message
    return warehouse.build(
        SUBJECTS,
        folder,
        "label_subjects",
        {"responses": responses},
        message=message or "",
        conversation=message is None,
    )
