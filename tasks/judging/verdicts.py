"""Ask every judge about every subject until each question has a valid verdict or the attempts are used up.

In: tables of subjects (answers or pairs as a judge is shown them). Out: one or more tables `verdicts`.
Grain: one row per judgement by one annotator of one answer or pair, the ones that do not parse included.
"""

from tasks import warehouse
from tasks.config import Config, Judge
from tasks.engines.replies import FILTERS
from tasks.judging.classifiers import CLASSIFIERS, classifier_rubric, mapping
from tasks.judging.reading import FOUND, UNCLEAR, find_verdicts
from tasks.judging.rubric import rubrics
from tasks.tables import HARM_CATEGORIES, REQUESTS, VERDICTS, Cost, Ref
from tasks.work.completions import complete
from tasks.work.job import RunJob


def judge_by(
    config: Config, judge: Judge, what: str, subjects: Ref, folder: str, run: RunJob
) -> tuple[list[Ref], dict[str, Cost]]:
    """Give the verdicts of one judge about `subjects`, one table an attempt, and what each attempt cost by its name.

    A verdict that does not parse is asked again with another seed, one that a filter refused is not.

    Raises:
        ModelError: the judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    model = judge.engine.identity()
    sampling = judge.model_dump(include={"temperature", "top_p", "max_tokens"})
    asks = rubrics(judge.rubrics) if judge.format == "rubric" else classifier_rubric(judge.format)
    verdicts: list[Ref] = []
    costs: dict[str, Cost] = {}
    for attempt in range(judge.attempts):
        requests = warehouse.build(
            REQUESTS,
            folder,
            "judge_requests",
            {"subjects": subjects, "rubrics": asks, "verdicts": verdicts or VERDICTS.schema.empty_table()},
            annotator=judge.name,
            model=model,
            seed=config.seed,
            votes=judge.label_votes if what == "labels" else judge.preference_votes,
            attempt=attempt,
            **sampling,
        )
        # A first attempt is told of even where there is nothing to ask yet: a plan expects more of it.
        if attempt and not requests.rows:
            break
        name = f"{what} by {judge.name}" + (f", attempt {attempt + 1}" if attempt else "")
        completions, costs[name] = complete(name, judge.engine, model, requests, folder, run)
        verdicts.append(read(judge, requests, completions, folder))
    return verdicts, costs


def read(judge: Judge, requests: warehouse.Source, completions: warehouse.Source, folder: str) -> Ref:
    """What a judge said, as verdicts."""
    said: dict[str, warehouse.Source] = {"requests": requests, "completions": completions}
    filters = list(FILTERS)
    if judge.format == "rubric":
        unclear = warehouse.build(UNCLEAR, folder, "unclear_verdicts", said)
        said["found"] = warehouse.derive(FOUND, folder, find_verdicts, ("pyarrow",), {"unclear": unclear})
        known = list(HARM_CATEGORIES)
        return warehouse.build(
            VERDICTS, folder, "verdicts", said, annotator=judge.name, filters=filters, harm_categories=known
        )
    said["mapping"] = mapping(judge.format)
    decision = CLASSIFIERS[judge.format].decision
    return warehouse.build(
        VERDICTS, folder, "classifier_verdicts", said, annotator=judge.name, filters=filters, decision=decision
    )
