"""Keep what finished tasks of a run gave, so that a retry of the run finds it: for the same inputs, made by the same code.

In: what a task does. Out: the same, which looks first whether it was done. Grain: one input of the flow run a call, in the
Prefect server, JSON. It is read as data and checked: what is not of the type that the task gives, or names what is outside
the storage, is done again. Prefect's own results will not do: each says itself how it is to be read, as a pickle too, which
runs code, whatever serializer a task has.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

import httpx
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.input import create_flow_run_input, delete_flow_run_input, read_flow_run_input
from prefect.transactions import TransactionState, get_transaction
from pydantic import TypeAdapter

from tasks.config import Config, Judge, Responder
from tasks.errors import SourceError, StorageError
from tasks.identity import digest, of_everything
from tasks.prompts.sources import parse

logger = logging.getLogger(__name__)
Given = ParamSpec("Given")
Made = TypeVar("Made")


def kept(*apart: str) -> Callable[[Callable[Given, Made]], Callable[Given, Made]]:
    """Keep what a task gives for retries of its run, under its inputs but those named `apart`, and all code of ours.

    The task takes its storage as `root`, or the folder `tables` in it as `folder`.
    """

    def keep(make: Callable[Given, Made]) -> Callable[Given, Made]:
        form = signature(make)
        gives: TypeAdapter[Made] = TypeAdapter(form.return_annotation)

        @wraps(make)
        def find_or_make(*args: Given.args, **kwargs: Given.kwargs) -> Made:
            if not can_be_retried():
                return make(*args, **kwargs)
            inputs = form.bind(*args, **kwargs).arguments
            root = inputs.get("root") or inputs["folder"].rpartition("/")[0]
            told = {name: value for name, value in inputs.items() if name not in apart}
            key = key_of(make, told)
            for made in find(key, gives, root):
                show_as_cached()
                return made
            made = make(*args, **kwargs)
            put(key, gives, made)
            return made

        return find_or_make

    return keep


def key_of(make: Callable[..., object], told: Mapping[str, object]) -> str:
    """Under what is kept that `make` gives for what it was `told`: one for all tasks of all code, since tables have their own."""
    return f"kept-{digest(of_everything(), make.__qualname__, told, *map(named_by, told.values()))}"


def named_by(value: object) -> object:
    """What a configuration names and does not hold: the rows of its prompts, if their file still stands, and its models."""
    if not isinstance(value, Config):
        return None
    rows = None
    with suppress(SourceError, StorageError):
        rows = parse(value)[1]
    asked: list[Responder | Judge] = [*value.responders, *value.judges]
    return rows, [engine.identity() for engine in (value.diversity.embedder, *(entry.engine for entry in asked))]


def can_be_retried() -> bool:
    """Whether this is a run of a deployment; Prefect starts no other one again."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


def find(key: str, gives: TypeAdapter[Made], root: str) -> list[Made]:
    """What this run keeps under `key`, in a list of its own; none where the task is to be done whatever was done before."""
    task = TaskRunContext.get()
    if task is None or task.task.refresh_cache:
        return []
    try:
        return read(read_flow_run_input(key), gives, root)
    except (httpx.HTTPError, ValueError):  # the server is away, or what it has is no JSON
        return []


def read(text: object, gives: TypeAdapter[Made], root: str) -> list[Made]:
    """What a text says, in a list of its own; none where that is no result of a run on the storage `root`."""
    try:
        made = gives.validate_json(text, strict=True)  # type: ignore[arg-type]  # what is no text is refused
    except ValueError:
        return []
    return [made] if all(is_below(root, uri) for uri in addresses(gives.dump_python(made, mode="json"))) else []


def put(key: str, gives: TypeAdapter[Made], made: Made) -> None:
    """Keep a result for this run, in the place of another one; without it a retry does more than it has to."""
    try:
        with suppress(PrefectHTTPStatusError):  # there is none
            delete_flow_run_input(key)
        create_flow_run_input(key, gives.dump_json(made).decode())
    except (httpx.HTTPError, ValueError) as error:
        logger.warning("a retry of this run will do this task again: it cannot be kept (%s)", type(error).__name__)


def show_as_cached() -> None:
    """Have Prefect show the task that runs as one whose result was found."""
    transaction = get_transaction()
    if transaction is not None:
        transaction.state = TransactionState.COMMITTED


def addresses(made: object) -> Iterator[str]:
    """Every address in a result, as JSON has it."""
    if isinstance(made, dict):
        if isinstance(made.get("uri"), str):
            yield made["uri"]
        made = list(made.values())
    if isinstance(made, list):
        for part in made:
            yield from addresses(part)


def is_below(root: str, uri: str) -> bool:
    """Whether an address begins with that of the storage and never goes up."""
    inside = uri.removeprefix(f"{root}/")
    return inside != uri and {"", ".", ".."}.isdisjoint(inside.split("/"))
