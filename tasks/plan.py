"""Say what a run would ask of engines, without starting one.

In: stages that asked nothing, and the jobs that they would have had run. Out: one `Planned` per model work of a stage.
What judges will be asked depends on answers: where those are missing, the numbers are what full answers would give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from infra import storage
from tasks.config import Config, Model
from tasks.tables import COMPLETIONS, Stage, tables_by_name
from tasks.work.answering import Answering
from tasks.work.job import PROGRESS, Job, Progress
from tasks.work.store import history, store_address

QUESTIONS_IN_BOTH_ORDERS = 6
"""Requests a pair and vote: helpfulness, harmlessness, overall, each in both orders."""


@dataclass(frozen=True)
class Planned:
    """Requests of one kind to one model, and what those that are not answered yet should take.

    `exact` says whether the number is known, not expected. Tokens, seconds and GPU hours are None where the store
    remembers no earlier run of this work. The tokens are `estimated` where some of that run's were not told.
    """

    name: str
    wanted: int
    answered: int
    exact: bool
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    gpu_hours: float | None = None
    estimated: bool = False

    @property
    def to_ask(self) -> int:
        """Requests that a run would send."""
        return self.wanted - self.answered


def ask_once(config: Config) -> Config:
    """The same, each judge with one attempt: a second one would want all again that nobody has answered yet."""
    judges = tuple(judge.model_copy(update={"attempts": 1}) for judge in config.judges)
    return config.model_copy(update={"judges": judges})


def expect(config: Config, stages: Sequence[Stage], jobs: Sequence[Job], folder: str) -> list[Planned]:
    """All model work of `stages`, in their order; `jobs` are what they would have had run, on stores below `folder`.

    Raises:
        ModelError: a model is missing.
        StorageError: the storage cannot be read.
    """
    most, _ = at_most(config, tables_by_name(stages)["prompts"].rows)
    asked: dict[str, tuple[Model, str]] = {
        f"{what} by {judge.name}": (judge.engine, store_address(folder, COMPLETIONS, judge.engine.identity()))
        for judge in config.judges
        for what in ("labels", "preferences")
    }
    asked |= {job.name: (job.model, job.store) for job in jobs if isinstance(job, Answering)}
    planned: list[Planned] = []
    for stage in stages:
        exact = all(work.to_ask == 0 for work in planned)
        for name, cost in stage.costs.items():
            expected = 0 if exact else most.get(name, 0)
            work = Planned(name, max(cost.asked + cost.found, expected), cost.found, exact)
            if work.to_ask:
                planned.append(foresee(work, *asked[name]))
            elif work.wanted or not exact:
                planned.append(replace(work, input_tokens=0, output_tokens=0, seconds=0.0, gpu_hours=0.0))
    return planned


def at_most(config: Config, prompts: int) -> tuple[dict[str, int], int]:
    """The requests of each work, by its name, and apart the pairs, where all of so many prompts and all answers are kept."""
    kept = [1 + min(config.diversity.alternatives, responder.samples) for responder in config.responders]
    pairs = prompts * sum(math.comb(answers, 2) for answers in kept)
    compared = min(pairs, config.pairs.budget) if config.pairs else pairs
    most = {f"responses by {responder.name}": prompts * (1 + responder.samples) for responder in config.responders}
    for judge in config.judges:
        rubrics = len(judge.rubrics)
        most[f"labels by {judge.name}"] = prompts * sum(kept) * judge.label_votes * rubrics
        most[f"preferences by {judge.name}"] = compared * QUESTIONS_IN_BOTH_ORDERS * judge.preference_votes * rubrics
    return most, pairs


def foresee(work: Planned, model: Model, store: str) -> Planned:
    """The same with what it should take, if the store remembers what it took `model` the last time and that can be read."""
    known = history(store, work.name)
    if not storage.exists(known):
        return work
    try:
        last = PROGRESS.validate_json(storage.read_bytes(known))
        return as_before(work, model, last) if last.rows > 0 else work
    except (ValidationError, OverflowError, *storage.FAULTS):
        return work


def as_before(work: Planned, model: Model, last: Progress) -> Planned:
    """The same with what it should take if each request takes what the `last` ones did; raises OverflowError if that is no number."""
    cost = last.cost
    seconds = cost.start_seconds + work.to_ask * cost.seconds / last.rows
    return replace(
        work,
        input_tokens=round(work.to_ask * (cost.input_tokens + cost.estimated_input_tokens) / last.rows),
        output_tokens=round(work.to_ask * (cost.output_tokens + cost.estimated_output_tokens) / last.rows),
        seconds=seconds,
        gpu_hours=seconds * model.gpus / 3600,
        estimated=bool(cost.estimated_input_tokens or cost.estimated_output_tokens),
    )
