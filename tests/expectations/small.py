"""Small candidates of any shape, made in this process: a scripted engine without a cluster and a server."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flows.pipeline import build
from flows.running.perform import perform_in_plan
from tasks.config import Config, Responder, load
from tasks.engines.blocks import commit, cut, read
from tasks.engines.scripted.answering import ScriptedEngine
from tasks.engines.word_counts.answering import WordCounter
from tasks.release.candidate import Candidate, write_candidate
from tasks.work.answering import Answering
from tasks.work.job import Job, RunJob, Tell
from tests.conftest import write_config


class Engine(ScriptedEngine):
    """Canned answers, of which each is `response` and each label is `label` where they are given."""

    def __init__(self, response: str | None = None, label: dict[str, Any] | None = None) -> None:
        super().__init__(seconds_per_row=0, garbage_every=0, journal=None, fault=None)
        self.response, self.label = response, label

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        canned = super().answer(request)
        schema = request["json_schema"]
        if schema is None and self.response is not None:
            return canned | {"completion": self.response}
        if schema is not None and '"winner"' not in schema and self.label is not None:
            return canned | {"completion": json.dumps(self.label)}
        return canned


def runner(engine: Callable[[Job], ScriptedEngine]) -> RunJob:
    """Runs each job block by block with the engine that is given for it; embedders count words."""

    def run(job: Job, tell: Tell) -> None:
        assert isinstance(job, Answering)
        answer = WordCounter() if job.model.kind == "word-counts" else engine(job)
        for place in cut(job.pending.uri, job.model.block_rows):
            asked = read(pa.Table.from_pylist([place]))
            commit(answer(asked), job.store, asked)

    return run


def candidate_of(
    folder: Path,
    prompts: Sequence[str],
    responses: Mapping[str, str] = {},
    label: dict[str, Any] | None = None,
    change: Callable[[Config], Config] = lambda config: config,
) -> Candidate:
    """What a run of the scripted configuration, changed, would show to the gate; a responder says nothing but its response."""
    folder.mkdir(parents=True, exist_ok=True)
    config = change(load(str(write_config(folder, prompts))))
    run = runner(lambda job: Engine(responses.get(job.name.removeprefix("responses by ")), label))
    stages = build(config, str(folder / "storage"), run, perform_in_plan)
    return write_candidate(config, stages, "2026.01.01", "0123456789", str(folder / "storage"))


def share(test_share: float) -> Callable[[Config], Config]:
    """Change the share of prompts in the split `test`."""
    return lambda config: config.model_copy(
        update={"prompts": config.prompts.model_copy(update={"test_share": test_share})}
    )


def alone(**responder: object) -> Callable[[Config], Config]:
    """Leave one responder, changed."""

    def change(config: Config) -> Config:
        only: Responder = config.responders[0].model_copy(update=responder)
        return config.model_copy(update={"responders": (only,)})

    return change


def copy(candidate: Candidate, folder: Path) -> Candidate:
    """The same candidate in `folder`, to be spoiled."""
    uri = str(folder / "copy")
    shutil.copytree(candidate.uri, uri)
    return replace(candidate, uri=uri)


def replace_rows(path: str, query: str) -> None:
    """Have the Parquet file at `path` hold what `query` gives."""
    duckdb.from_arrow(duckdb.sql(query).to_arrow_table()).write_parquet(path)
