"""Prefect tasks: every responder answers table `prompts`, and the answers that differ become table `responses`."""

from functools import partial
from time import monotonic

from prefect import task

from flows.reports import report
from infra.ray_cluster import connect
from tasks.config import Config, Responder
from tasks.responses import answer_prompts, keep_diverse
from tasks.tables import Cost, Ref, Stage


@task(persist_result=True, task_run_name="prompts_to_responses-{responder.name}")
def answer(config: Config, responder: Responder, prompts: Ref, folder: str) -> tuple[Ref, Cost]:
    """Have one responder answer all prompts, on the run's cluster."""
    return answer_prompts(config, responder, prompts, folder, partial(connect, config.cluster.cpus))


@task(persist_result=True)
def diversify(config: Config, answered: list[tuple[Ref, Cost]], folder: str) -> Stage:
    """Keep the good answers that differ."""
    refs, costs = zip(*answered, strict=True)
    return keep_diverse(config, refs, costs, folder, partial(connect, config.cluster.cpus))


def prompts_to_responses(config: Config, prompts: Ref, folder: str) -> Stage:
    """One task a responder, then one for all of them."""
    started = monotonic()
    answered = [answer(config, responder, prompts, folder) for responder in config.responders]
    return report(diversify(config, answered, folder), started)
