import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import psutil
import pytest

from tests.conftest import ROOT, asked, write_config
from tests.waiting import until

BLOCK_ROWS = 8
JUDGE_BLOCK_ROWS = 64


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.pipeline", str(config)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def committed(folder: Path) -> list[str]:
    blocks = list(folder.glob("storage/tables/completions/*/*.parquet"))
    rows = duckdb.read_parquet([str(block) for block in blocks]).select("request_id").fetchall() if blocks else []
    return [request_id for (request_id,) in rows]


PROMPTS = 40
ANSWERS = 2 * 3 * PROMPTS  # two responders, an answer and two samples more


def generating(folder: Path) -> bool:
    return len(committed(folder)) >= 2 * BLOCK_ROWS


def judging(folder: Path) -> bool:
    return len(committed(folder)) > ANSWERS


def at_the_gate(folder: Path) -> bool:
    return any(folder.glob("storage/candidates/*"))


def kill_left(processes: list[psutil.Process]) -> None:
    """A driver that is killed cannot end its Prefect server."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("moment", [generating, judging, at_the_gate])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, moment: Callable[[Path], bool]) -> None:
    prompts = [f"How do I plant {i} tulips?" for i in range(PROMPTS)]
    slow = 0.25 if moment is generating else 0
    driver = start(write_config(tmp_path, prompts, seconds_per_row=slow))
    until(lambda: moment(tmp_path) or driver.poll() is not None)
    started = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    kept = committed(tmp_path)
    first = asked(tmp_path)
    assert not list(tmp_path.rglob("latest.json"))
    if moment is generating:
        assert 2 * BLOCK_ROWS <= len(kept) < ANSWERS // 2

    again = start(write_config(tmp_path, prompts))
    output, _ = again.communicate()
    kill_left(started)
    assert again.returncode == 0, output
    second = asked(tmp_path)[len(first) :]
    assert set(second).isdisjoint(kept)
    assert len(second) == len(set(second))
    assert bool(second) == (moment is not at_the_gate)
    assert len(set(first) & set(second)) <= 2 * (BLOCK_ROWS if moment is generating else JUDGE_BLOCK_ROWS)
    assert sorted(committed(tmp_path)) == sorted(set(first) | set(second))
    assert len(list(tmp_path.glob("storage/releases/*/manifest.json"))) == 1
