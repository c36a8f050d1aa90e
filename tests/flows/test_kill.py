import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb

from tests.conftest import ROOT, asked, write_config

BLOCK_ROWS = 8


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.pipeline", str(config)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def committed(folder: Path) -> list[str]:
    blocks = list(folder.glob("storage/tables/completions/*/*.parquet"))
    rows = duckdb.read_parquet([str(block) for block in blocks]).select("request_id").fetchall() if blocks else []
    return [request_id for (request_id,) in rows]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    config = write_config(tmp_path, [f"How do I plant {i} tulips?" for i in range(40)], seconds_per_row=0.25)
    driver = start(config)
    assert driver.stdout is not None
    for _ in driver.stdout:
        if len(committed(tmp_path)) >= 2 * BLOCK_ROWS:
            break
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = committed(tmp_path)
    assert 2 * BLOCK_ROWS <= len(kept) < 120
    first = asked(tmp_path)
    assert not list(tmp_path.rglob("latest.json"))

    config = write_config(tmp_path, [f"How do I plant {i} tulips?" for i in range(40)])
    again = start(config)
    output, _ = again.communicate()
    assert again.returncode == 0, output
    second = asked(tmp_path)[len(first) :]
    assert set(second).isdisjoint(kept)
    assert len(second) == len(set(second))
    assert len(set(first) & set(second)) <= 2 * BLOCK_ROWS
    assert sorted(committed(tmp_path)) == sorted(set(first) | set(second))
