"""Say what a run would ask of engines, without starting one.

In: a configuration and what its storage holds. Out: one `Planned` per kind of model work of each responder and judge.
What judges will be asked depends on answers: where those are missing, the numbers are what full answers would give.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from infra import storage
from tasks.config import Config, Engine, Judge
from tasks.judging.labels import label_responses
from tasks.judging.pairs import pair_responses
from tasks.judging.preferences import prefer
from tasks.prompts.prompts import build_prompts
from tasks.responses.responses import answer_prompts, keep_diverse
from tasks.tables import COMPLETIONS, Cost, Ref
from tasks.work.job import Job, Progress, Tell
from tasks.work.store import history, store_address

QUESTIONS_IN_BOTH_ORDERS = 6
"""Requests a pair and vote: helpfulness, harmlessness, overall, each in both orders."""


@dataclass(frozen=True)
class Planned:
    """Requests of one kind to one model, and what those that are not answered yet should take.

    `exact` says whether the number is known, not expected. Tokens, seconds and GPU hours are None where the store
    remembers no earlier run of this work.
    """

    name: str
    wanted: int
    answered: int
    exact: bool
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    gpu_hours: float | None = None

    @property
    def to_ask(self) -> int:
        """Requests that a run would send."""
        return self.wanted - self.answered


def plan(config: Config, root: str) -> list[Planned]:
    """All model work of a run with `config`, in its order.

    Raises:
        ModelError: a model is missing.
        SourceError: the prompts cannot be used.
        StorageError: the storage cannot be written.
    """
    folder = storage.join(root, "tables")
    prompts = build_prompts(config, folder).tables["prompts"]
    answered = [answer_prompts(config, responder, prompts, folder, ask_nothing) for responder in config.responders]
    planned = [
        expect(f"responses by {responder.name}", responder.engine, cost, None, folder)
        for responder, (_, cost) in zip(config.responders, answered, strict=True)
    ]
    refs, costs = zip(*answered, strict=True)
    responses = keep_diverse(config, refs, costs, folder, ask_nothing).tables["responses"]
    settled = all(work.to_ask == 0 for work in planned)
    kept = 1 + config.diversity.alternatives
    most_answers = prompts.rows * len(config.responders) * kept
    for judge in config.judges:
        planned += judged(config, judge, responses, most_answers, settled, folder)
    return planned


def judged(
    config: Config, judge: Judge, responses: Ref, most_answers: int, settled: bool, folder: str
) -> Iterator[Planned]:
    """The labels and the preferences of one judge."""
    alone = config.model_copy(update={"judges": (judge.model_copy(update={"attempts": 1}),)})
    labelled = label_responses(alone, responses, (), folder, ask_nothing)
    expected = None if settled else most_answers * judge.label_votes * len(judge.rubrics)
    labels = expect(f"labels by {judge.name}", judge.engine, labelled.cost, expected, folder)
    yield labels
    pairs = pair_responses(config, responses, labelled.tables["labels"], folder).tables["pairs"]
    if judge.format != "rubric":
        return
    compared = prefer(alone, pairs, (), folder, ask_nothing)
    kept = 1 + config.diversity.alternatives
    most_pairs = most_answers // kept * math.comb(kept, 2)
    expected = most_pairs * QUESTIONS_IN_BOTH_ORDERS * judge.preference_votes * len(judge.rubrics)
    known = settled and labels.to_ask == 0
    yield expect(f"preferences by {judge.name}", judge.engine, compared.cost, None if known else expected, folder)


def ask_nothing(job: Job, tell: Tell) -> None:
    """A runner of jobs that leaves all rows unanswered."""


def expect(name: str, engine: Engine, cost: Cost, expected: int | None, folder: str) -> Planned:
    """What work of this name will take: `cost` knows what was wanted and found, the store what it took last time."""
    wanted = max(cost.asked + cost.found, expected or 0)
    to_ask = wanted - cost.found
    known = history(store_address(folder, COMPLETIONS, engine.identity()), name)
    if not storage.exists(known):
        return Planned(name, wanted, cost.found, expected is None)
    told = json.loads(storage.read_bytes(known))
    last = Progress(told["rows"], Cost(**told["cost"]))
    seconds = last.cost.start_seconds + to_ask * last.cost.seconds / last.rows if to_ask else 0.0
    return Planned(
        name,
        wanted,
        cost.found,
        expected is None,
        round(to_ask * last.cost.input_tokens / last.rows),
        round(to_ask * last.cost.output_tokens / last.rows),
        seconds,
        seconds * engine.gpus / 3600,
    )
