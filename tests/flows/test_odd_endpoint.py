"""A whole run against an endpoint that answers every other request with another odd reply."""

import json
import os
import signal
import threading
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb
import psutil

from tests.conftest import KEY_VARIABLE
from tests.flows.test_kill import committed, kill_left, start
from tests.tasks.engines.endpoint_server import endpoint
from tests.tasks.engines.odd_replies import ODD, http, says
from tests.waiting import until

PROMPTS = 40
ANSWERS = 3 * PROMPTS
BLOCK_ROWS = 8
CONFIG = """
name = "odd"
storage = "{folder}/storage"

[prompts]
source = "{folder}/prompts.jsonl"
test_share = 0.2

[diversity]
embedder = {{ kind = "word-counts" }}

[[responders]]
name = "odd"
engine = {{ {engine}, model = "responder" }}
samples = 2

[[judges]]
name = "judge"
engine = {{ {engine}, model = "judge" }}
attempts = 4
"""
ENGINE = 'kind = "openai", base_url = "{url}", key_variable = "{key}", retries = 0, block_rows = {rows}, {pace}'


class Replies:
    """Chooses a reply to each request, the same each time it is asked: a good one, then another odd one, and so on."""

    def __init__(self) -> None:
        self.odd = cycle(ODD)
        self.chosen: dict[str, str | None] = {}
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def choose(self, body: dict[str, Any]) -> bytes:
        request = f"{body['messages'][-1]['content']} {body['seed']}"
        with self.lock:
            if request not in self.chosen:
                self.chosen[request] = next(self.odd) if len(self.chosen) % 2 else None
            self.asked[request] += 1
        name = self.chosen[request]
        return http(says(self.good(body))) if name is None else ODD[name]

    def good(self, body: dict[str, Any]) -> str:
        if "response_format" not in body:
            return f"Plant bulb number {body['seed']} as deep as it is high, and row {body['seed'] % 97} apart."
        if "winner" in json.dumps(body["response_format"]):
            return json.dumps({"winner": "A"})
        return json.dumps({"analysis": "Mild.", "is_safe": True, "harm_category": [], "severity_level": 0})


def write(folder: Path, url: str, pace: str) -> Path:
    texts = [f"How do I plant {number} tulips in a garden?" for number in range(PROMPTS)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    engine = ENGINE.format(url=url, key=KEY_VARIABLE, rows=BLOCK_ROWS, pace=pace)
    config = folder / "config.toml"
    config.write_text(CONFIG.format(folder=folder, engine=engine))
    return config


def select(sql: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(sql).fetchall()


def test_a_killed_run_against_an_odd_endpoint_is_finished_by_the_next_and_every_request_accounted_for(
    tmp_path: Path,
) -> None:
    replies = Replies()
    with endpoint(replies.choose) as served:
        driver = start(write(tmp_path, served.url, "requests_per_minute = 600"))
        until(lambda: len(committed(tmp_path)) >= 2 * BLOCK_ROWS or driver.poll() is not None)
        started = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL
        tables = tmp_path / "storage/tables"
        kept = select(
            f"SELECT DISTINCT user || ' ' || seed FROM '{tables}/requests/*.parquet' JOIN "
            f"'{tables}/completions/*/*.parquet' USING (request_id) WHERE error IS NULL"
        )
        assert BLOCK_ROWS <= len(kept) < ANSWERS

        again = start(write(tmp_path, served.url, "requests_per_minute = 60000"))
        output, _ = again.communicate()
        kill_left(started)
    assert again.returncode == 0, output
    assert "Traceback" not in output
    assert "said instead of answers" in output
    assert {name for name in replies.chosen.values() if name} == set(ODD)

    assert {replies.asked[request] for (request,) in kept} == {1}
    stored = f"SELECT count(DISTINCT request_id) FROM '{tables}/completions/*/*.parquet'"
    assert select(stored) == [(len(replies.chosen),)]

    (release,) = (tmp_path / "storage/releases").glob("*/manifest.json")
    folder = release.parent
    stages = select(f"SELECT rows_in, rows_kept, rows_dropped FROM '{folder}/annotations/stages.parquet'")
    assert all(rows_in == kept + dropped for rows_in, kept, dropped in stages)
    assert stages[1][0] == ANSWERS
    failed = select(f"SELECT evidence FROM '{folder}/dropped.parquet' WHERE reason = 'engine error'")
    assert len({evidence for (evidence,) in failed}) > 5
    assert not any("tulips" in evidence or "bulb" in evidence for (evidence,) in failed)
