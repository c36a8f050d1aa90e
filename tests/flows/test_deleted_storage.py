"""A storage that another program deletes while a run works is told by the name of what is missing."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest

from flows.pipeline import build
from flows.running.perform import perform_in_plan
from tasks.config import load
from tasks.errors import StorageError
from tasks.release.candidate import release_fingerprint, write_candidate
from tests.conftest import write_config
from tests.flows.here import run_here
from tests.tasks.work.here import fill_here

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


def test_tables_that_are_deleted_before_any_stage_are_told_by_name(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path, prompts=["Why?", "How?"])))
    tables = f"{config.storage}/tables"
    said: list[str] = []
    for deleted_at in count():
        stages = count()

        def perform(task: Callable[[*Given], Made], *calls: tuple[*Given]) -> list[Made]:
            if next(stages) == deleted_at:  # noqa: B023 (called in this round only)
                shutil.rmtree(tables, ignore_errors=True)
            return perform_in_plan(task, *calls)

        try:
            build(config, config.storage, fill_here, perform)
        except StorageError as error:
            said.append(str(error))
        if next(stages) <= deleted_at:
            break
    assert len(said) > 3
    assert [line for line in said if line.startswith(f"{tables}/") and " is gone while it is needed" in line] == said


def test_tables_that_are_deleted_before_the_candidate_is_written_are_told_by_name(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path, prompts=["Why?", "How?"])))
    stages = run_here(config)
    fingerprint = release_fingerprint(config, stages)
    shutil.rmtree(f"{config.storage}/tables")
    with pytest.raises(StorageError, match=f"^{config.storage}/tables/.* is gone while it is needed"):
        write_candidate(config, stages, "1", fingerprint, config.storage)
