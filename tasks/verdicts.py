"""Ask every judge about every subject until each question has a valid verdict or the attempts are used up.

In: a table of subjects (answers or pairs as a judge is shown them). Out: one or more tables `verdicts`.
Grain: one row per judgement by one annotator of one answer or pair, the ones that do not parse included.
"""

from tasks import warehouse
from tasks.completions import complete
from tasks.config import Config, Judge
from tasks.engines import model_identity
from tasks.job import RunJob
from tasks.rubric import rubrics
from tasks.tables import HARM_CATEGORIES, REQUESTS, VERDICTS, Cost, Ref


def judge_subjects(config: Config, what: str, subjects: Ref, folder: str, run: RunJob) -> tuple[list[Ref], Cost]:
    """Give the verdicts of all judges about `subjects`, one table a judge and attempt, and what they cost.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    verdicts: list[Ref] = []
    cost = Cost()
    for judge in config.judges:
        votes = judge.label_votes if what == "labels" else judge.preference_votes
        found, spent = judge_by(config, judge, votes, what, subjects, folder, run)
        verdicts += found
        cost += spent
    return verdicts, cost


def judge_by(
    config: Config, judge: Judge, votes: int, what: str, subjects: Ref, folder: str, run: RunJob
) -> tuple[list[Ref], Cost]:
    """Ask one judge; a verdict that does not parse is asked again with another seed."""
    model = model_identity(judge.engine)
    sampling = judge.model_dump(include={"temperature", "top_p", "max_tokens"})
    verdicts: list[Ref] = []
    cost = Cost()
    for attempt in range(judge.attempts):
        requests = warehouse.build(
            REQUESTS,
            folder,
            "judge_requests",
            {"subjects": subjects, "rubrics": rubrics(), "verdicts": verdicts or VERDICTS.schema.empty_table()},
            annotator=judge.name,
            model=model,
            seed=config.seed,
            votes=votes,
            attempt=attempt,
            **sampling,
        )
        if not requests.rows:
            break
        name = f"{what} by {judge.name}" + (f", attempt {attempt + 1}" if attempt else "")
        completions, spent = complete(name, judge.engine, model, requests, folder, run)
        cost += spent
        found = warehouse.build(
            VERDICTS,
            folder,
            "verdicts",
            {"requests": requests, "completions": completions},
            annotator=judge.name,
            harm_categories=list(HARM_CATEGORIES),
        )
        verdicts.append(found)
    return verdicts, cost
