"""A whole run that is killed, and the next one, which goes on: as a user starts them, each in a process of its own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from infra import leftovers
from tests.conftest import asked, write_config
from tests.processes import program
from tests.waiting import until

pytestmark = pytest.mark.machinery
BLOCK_ROWS = 8
JUDGE_BLOCK_ROWS = 64
PROMPTS = 40
ANSWERS = 2 * 3 * PROMPTS  # two responders, an answer and two samples more
SECONDS_TO_A_MOMENT = 500
Moment = Callable[[Path], bool]


def run_of(config: Path) -> list[str | Path]:
    return [sys.executable, "-m", "flows.pipeline", config]


def committed(folder: Path) -> list[str]:
    blocks = list(folder.glob("storage/tables/completions/*/*.parquet"))
    rows = duckdb.read_parquet([str(block) for block in blocks]).select("request_id").fetchall() if blocks else []
    return [request_id for (request_id,) in rows]


def generating(folder: Path) -> bool:
    return len(committed(folder)) >= BLOCK_ROWS


def judging(folder: Path) -> bool:
    return len(committed(folder)) > ANSWERS


def at_the_gate(folder: Path) -> bool:
    return any(folder.glob("storage/candidates/*"))


SLOW: dict[Moment, str] = {generating: "responders", judging: "judges", at_the_gate: "nobody"}
"""Who takes a second for a request, so that most of their work is still to be done when the run is killed."""


def write(folder: Path, slow: str = "nobody") -> Path:
    config = write_config(folder, [f"How do I plant {i} tulips?" for i in range(PROMPTS)])
    sections = config.read_text().replace(", seconds_per_row = 0", "").split("\n[[")
    slowed = [
        part.replace('/journal"', '/journal", seconds_per_row = 1') if part.startswith(slow) else part
        for part in sections
    ]
    config.write_text("\n[[".join(slowed))
    return config


def without_end(folder: Path) -> str:
    """A PATH on which the publisher of a release, who asks git for the revision, waits for as long as the test goes on."""
    git = folder / "bin/git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    git.chmod(0o755)
    return f"{git.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    "moment",
    [generating, *(pytest.param(moment, marks=pytest.mark.long) for moment in (judging, at_the_gate))],
)
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, moment: Moment) -> None:
    home, log = tmp_path / "prefect", tmp_path / "log"
    path = {"PATH": without_end(tmp_path)}
    with program(run_of(write(tmp_path, SLOW[moment])), home, log, path) as driver:
        until(lambda: moment(tmp_path) or driver.poll() is not None, SECONDS_TO_A_MOMENT, moment.__name__)
        assert driver.poll() is None, log.read_text()
    # It is killed with all that it started, which writes no more.
    kept, first = committed(tmp_path), asked(tmp_path)
    assert not list(tmp_path.rglob("latest.json"))
    if moment is generating:
        assert BLOCK_ROWS <= len(kept) < ANSWERS // 2

    # A login that the shell has for another server keeps no run from its temporary one.
    with program(run_of(write(tmp_path)), home, log, {"PREFECT_SERVER_API_AUTH_STRING": "of:another"}) as again:
        assert again.wait() == 0, log.read_text()
    for pid in (driver.pid, again.pid):
        assert not list(leftovers.temporary().glob(f"{leftovers.PREFIX}{leftovers.here()}-{pid}-*"))
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.glob("storage/candidates/*"))
    second = asked(tmp_path)[len(first) :]
    assert set(second).isdisjoint(kept)
    assert len(second) == len(set(second))
    assert bool(second) == (moment is not at_the_gate)
    assert len(set(first) & set(second)) <= 2 * (BLOCK_ROWS if moment is generating else JUDGE_BLOCK_ROWS)
    assert sorted(committed(tmp_path)) == sorted(set(first) | set(second))
    assert len(list(tmp_path.glob("storage/releases/*/manifest.json"))) == 1
