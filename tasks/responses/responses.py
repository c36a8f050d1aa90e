"""Have every responder answer every prompt, and keep good answers that differ.

In: table `prompts`. Out: table `responses`. Grain: one row per kept answer of one responder.
The diversity step follows PKU-SafeRLHF (arXiv 2406.15513): one answer at default sampling, more at raised temperature,
garbled ones dropped, and of the good ones the least similar kept.
"""

from collections.abc import Sequence
from dataclasses import replace

from tasks import warehouse
from tasks.config import Config, Responder
from tasks.tables import ANSWERS, EMBEDDINGS, REQUESTS, RESPONSES, Cost, Ref, Stage, screened
from tasks.work.completions import complete
from tasks.work.job import RunJob
from tasks.work.store import Work, obtain


def answer_prompts(config: Config, responder: Responder, prompts: Ref, folder: str, run: RunJob) -> tuple[Ref, Cost]:
    """Answer all prompts with one responder; give every request with its answer, screened, and what it cost.

    Raises:
        ModelError: the responder's model is missing or stopped.
        StorageError: the folder cannot be written.
    """
    model = responder.engine.identity()
    sampling = responder.model_dump(
        include={"system", "temperature", "raised_temperature", "samples", "top_p", "max_tokens"}
    )
    requests = warehouse.build(
        REQUESTS,
        folder,
        "response_requests",
        {"prompts": prompts},
        responder=responder.name,
        model=model,
        seed=config.seed,
        **sampling,
    )
    completions, cost = complete(f"responses by {responder.name}", responder.engine, model, requests, folder, run)
    answered = warehouse.build(
        screened(RESPONSES),
        folder,
        "screened_responses",
        {"requests": requests, "completions": completions},
        responder=responder.name,
    )
    return answered, cost


def keep_diverse(config: Config, answered: Sequence[Ref], spent: Sequence[Cost], folder: str, run: RunJob) -> Stage:
    """Embed the good answers of all responders and keep, per prompt and responder, the ones that differ most.

    Raises:
        ModelError: the embedding model is missing or stopped.
        StorageError: the folder cannot be written.
    """
    embedder = config.diversity.embedder
    model = embedder.identity()
    answers = warehouse.build(ANSWERS, folder, "answers_to_embed", {"screened": answered})
    work = Work("embeddings", model, embedder, wanted=ANSWERS, kept=EMBEDDINGS)
    embeddings, cost = obtain(work, answers, folder, run)
    looked_at = warehouse.build(
        screened(RESPONSES),
        folder,
        "diverse_responses",
        {"screened": answered, "embeddings": embeddings},
        alternatives=config.diversity.alternatives,
    )
    responses, dropped = warehouse.sift(RESPONSES, folder, looked_at, "prompts_to_responses")
    generated = sum(spent, replace(cost, asked=0, found=0))
    return Stage(
        "prompts_to_responses", "request", looked_at.rows, responses.rows, dropped, {"responses": responses}, generated
    )
