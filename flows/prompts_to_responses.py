"""Prefect tasks: every responder answers table `prompts`, and the answers that differ become table `responses`."""

from dataclasses import replace
from time import monotonic

from prefect import task

from flows.running.caching import kept
from flows.running.perform import Perform
from flows.running.reports import shown
from tasks.config import Config, Responder
from tasks.responses.responses import answer_prompts, keep_diverse
from tasks.tables import Cost, Ref, Stage
from tasks.work.job import RunJob


@task(persist_result=False, task_run_name="prompts_to_responses-{responder.name}")
@kept("run")
def answer(config: Config, responder: Responder, prompts: Ref, folder: str, run: RunJob) -> tuple[Ref, dict[str, Cost]]:
    """Have one responder answer all prompts, as a job of its own."""
    return answer_prompts(config, responder, prompts, folder, run)


@task(persist_result=False)
@kept("run", "started")
@shown
def diversify(
    config: Config, answered: list[tuple[Ref, dict[str, Cost]]], started: float, folder: str, run: RunJob
) -> Stage:
    """Keep the good answers that differ, and close the stage that began at `started`."""
    return replace(keep_diverse(config, answered, folder, run), seconds=monotonic() - started)


def prompts_to_responses(config: Config, prompts: Ref, folder: str, run: RunJob, perform: Perform) -> Stage:
    """One task a responder, which leaves the others alone when it fails, then one for all of them."""
    started = monotonic()
    answered = perform(answer, *((config, responder, prompts, folder, run) for responder in config.responders))
    (stage,) = perform(diversify, (config, answered, started, folder, run))
    return stage
