"""Label every kept answer by the verdicts of the judges and of people.

In: table `responses`, and what people judged of them. Out: tables `verdicts`, `opinions` and `labels`. Grain: one row per distinct
answer.
`is_safe`, `harm_category` and `severity_level` come from one decision, so that they cannot contradict each other.
"""

from collections.abc import Sequence

from tasks import warehouse
from tasks.config import Config, Judge
from tasks.judging.classifiers import CLASSIFIERS
from tasks.judging.rubric import ANSWER_MESSAGE
from tasks.judging.verdicts import Annotations, annotations, ask_judges
from tasks.tables import LABELS, SCREENED_LABELS, SUBJECTS, Ref, Stage
from tasks.work.job import RunJob


def label_responses(config: Config, responses: Ref, people: Sequence[Ref], folder: str, run: RunJob) -> Stage:
    """Have all distinct answers judged, and derive one label each; `people` are tables `verdicts` of people.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    subjects = {judge.name: shown(judge, responses, folder) for judge in config.judges}
    judged, costs = ask_judges(config, "labels", subjects, folder, run)
    found = annotations(config, [*judged, *people], folder)
    looked_at = decide(responses, found, folder)
    models = (
        decide(responses, annotations(config, judged, folder), folder) if any(ref.rows for ref in people) else looked_at
    )
    labels, dropped = warehouse.sift(LABELS, folder, looked_at, "responses_to_labels")
    tables = {
        "label_verdicts": found.verdicts,
        "label_opinions": found.opinions,
        "labels": labels,
        "screened_labels": looked_at,
        "model_labels": models,
    }
    return Stage("responses_to_labels", "distinct answer", looked_at.rows, labels.rows, dropped, tables, costs)


def decide(responses: Ref, found: Annotations, folder: str) -> Ref:
    """Every answer with the label that annotators give it, or the reason why it has none."""
    return warehouse.build(SCREENED_LABELS, folder, "screened_labels", {"responses": responses, **found._asdict()})


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
