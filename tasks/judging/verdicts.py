"""Ask every judge about every subject until each question has a valid verdict or its attempts are used up; gather all verdicts.

In: tables of subjects (answers or pairs as a judge is shown them). Out: one or more tables `verdicts`; table `opinions`.
Grain: one row per judgement by one annotator of one answer or pair, the ones that do not parse included.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks import warehouse
from tasks.config import Config, Judge
from tasks.judging.classifiers import CLASSIFIERS, classifier_rubric, mapping
from tasks.judging.consensus import weigh
from tasks.judging.reading import FOUND, UNCLEAR, find_verdicts
from tasks.judging.rubric import rubrics
from tasks.tables import HARM_CATEGORIES, OPINIONS, REQUESTS, VERDICTS, Cost, Ref
from tasks.warehouse import Source
from tasks.work.completions import complete
from tasks.work.job import RunJob


class Annotations(NamedTuple):
    """All that annotators said, by the names that decisions read it under."""

    verdicts: Ref
    opinions: Ref
    posteriors: Source


def ask_judges(
    config: Config, what: str, subjects: Mapping[str, Ref], folder: str, run: RunJob
) -> tuple[list[Ref], dict[str, Cost]]:
    """Give the verdicts of judges about their `subjects`, by a judge's name: one table an attempt, and the cost of each by its name.

    A verdict that does not parse is asked again with another seed, one that a filter refused is not.

    Raises:
        ModelError: a judge's model is missing or stopped.
        StorageError: the folder cannot be written.
        BudgetSpent: the run has asked for as much as its budget allows.
    """
    judged: list[Ref] = []
    costs: dict[str, Cost] = {}
    for judge in (judge for judge in config.judges if judge.name in subjects):
        model = judge.engine.identity()
        sampling = judge.model_dump(include={"temperature", "top_p", "max_tokens"})
        asks = rubrics(judge.rubrics) if judge.format == "rubric" else classifier_rubric(judge.format)
        verdicts: list[Ref] = []
        for attempt in range(judge.attempts):
            requests = warehouse.build(
                REQUESTS,
                folder,
                "judge_requests",
                {
                    "subjects": subjects[judge.name],
                    "rubrics": asks,
                    "verdicts": verdicts or VERDICTS.schema.empty_table(),
                },
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
        judged += verdicts
    return judged, costs


def read(judge: Judge, requests: Source, completions: Source, folder: str) -> Ref:
    """What a judge said, as verdicts."""
    inputs: dict[str, Source] = {"requests": requests, "completions": completions}
    if judge.format == "rubric":
        unclear = warehouse.build(UNCLEAR, folder, "unclear_verdicts", inputs)
        inputs["found"] = warehouse.derive(FOUND, folder, find_verdicts, ("pyarrow",), {"unclear": unclear})
        known = list(HARM_CATEGORIES)
        return warehouse.build(VERDICTS, folder, "verdicts", inputs, annotator=judge.name, harm_categories=known)
    inputs["mapping"] = mapping(judge.format)
    decision = CLASSIFIERS[judge.format].decision
    return warehouse.build(VERDICTS, folder, "classifier_verdicts", inputs, annotator=judge.name, decision=decision)


def annotations(config: Config, verdicts: Sequence[Ref], folder: str) -> Annotations:
    """The verdicts of judges and people as one table, the opinions that they come to, and what these weigh."""
    gathered = warehouse.build(
        VERDICTS, folder, "all_verdicts", {"verdicts": verdicts or VERDICTS.schema.empty_table()}
    )
    opinions = warehouse.build(OPINIONS, folder, "opinions", {"verdicts": gathered})
    return Annotations(gathered, opinions, weigh(config.consensus, opinions, folder))
