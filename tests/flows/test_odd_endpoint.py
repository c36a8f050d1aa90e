"""A whole run against an endpoint that answers every other request with another odd reply."""

import hashlib
import json
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.pipeline import build, main
from flows.running.perform import perform_in_plan
from tasks import config as configs
from tasks.work.job import RunJob
from tests.conftest import KEY_VARIABLE
from tests.flows.test_kill import committed, run_of
from tests.processes import program
from tests.tasks.engines.endpoint_server import endpoint
from tests.tasks.engines.odd_replies import ODD, SHUT_OUT, http, says
from tests.waiting import until

NAMES = sorted(ODD.keys() - SHUT_OUT)
PROMPTS = -(-2 * len(NAMES) // 3)
"""So many that each odd reply is one to every other answer."""
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

[gate.engine_errors]
warning = 1
critical = 1
"""
ENGINE = 'kind = "openai", base_url = "{url}", key_variable = "{key}", retries = 0, block_rows = {rows}, {pace}'


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def select(sql: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(sql).fetchall()


class Replies:
    """Chooses a reply to each request, the same each time it is asked: a good one or an odd one, by what is asked.

    Seeds are made of the endpoint's address, which no two tests share, so that a prompt and a sample stand for a request
    to the responder. Requests to the judge that say the same are attempts, one after another, and stand there by number.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.chosen: dict[str, str | None] = {}
        self.asked: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def expect(self, config: Path, root: Path) -> None:
        """Share all odd replies out among half of the requests to the responder, which are known beforehand."""
        jobs: list[Any] = []
        build(configs.load(str(config)), str(root), lambda job, tell: jobs.append(job), perform_in_plan)
        requests = select(f"SELECT \"user\", seed, sample FROM '{jobs[0].pending.uri}'")
        assert len(requests) == ANSWERS
        self.names = {f"{user} {seed}": f"{user} sample {sample}" for user, seed, sample in requests}
        by_number = sorted(self.names, key=lambda request: number(self.names[request]))
        for place, request in enumerate(by_number):
            self.chosen[request] = NAMES[place // 2 % len(NAMES)] if place % 2 else None

    def choose(self, body: dict[str, Any]) -> bytes:
        request = f"{body['messages'][-1]['content']} {body['seed']}"
        with self.lock:
            if request not in self.names:
                said = json.dumps([body["messages"], body["response_format"]])
                self.attempts[said] += 1
                self.names[request] = f"{said} attempt {self.attempts[said]}"
                draw = number(self.names[request])
                self.chosen[request] = NAMES[draw // 2 % len(NAMES)] if draw % 2 else None
            self.asked[request] += 1
        name = self.chosen[request]
        return http(says(self.good(body, number(self.names[request])))) if name is None else ODD[name]

    def good(self, body: dict[str, Any], draw: int) -> str:
        if "response_format" not in body:
            return f"Plant bulb number {draw} as deep as it is high, and row {draw % 97} apart."
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


def assert_accounted_for(folder: Path, replies: Replies) -> None:
    """Every request has a row, whatever the reply was, and the release says what was left out and why."""
    assert {replies.chosen[request] for request in replies.asked} - {None} == set(NAMES)
    stored = f"SELECT count(DISTINCT request_id) FROM '{folder}/storage/tables/completions/*/*.parquet'"
    assert select(stored) == [(len(replies.asked),)]

    (release,) = (folder / "storage/releases").glob("*/manifest.json")
    published = release.parent
    stages = select(f"SELECT rows_in, rows_kept, rows_dropped FROM '{published}/annotations/stages.parquet'")
    assert all(rows_in == kept + dropped for rows_in, kept, dropped in stages)
    assert stages[1][0] == ANSWERS
    failed = select(f"SELECT evidence FROM '{published}/dropped.parquet' WHERE reason = 'engine error'")
    assert len({evidence for (evidence,) in failed}) > 5
    assert not any("tulips" in evidence or "bulb" in evidence for (evidence,) in failed)


def test_every_request_of_a_run_against_an_odd_endpoint_is_accounted_for(
    tmp_path: Path,
    cluster: RunJob,
    prefect_server: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = Replies()
    with endpoint(replies.choose) as served:
        config = write(tmp_path, served.url, "requests_per_minute = 60000")
        replies.expect(config, tmp_path / "planned")
        monkeypatch.setattr(sys, "argv", ["flows.pipeline", str(config)])
        main()
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "said instead of answers" in said.out
    assert {replies.asked[request] for request, name in replies.chosen.items() if name is None} == {1}
    assert_accounted_for(tmp_path, replies)


@pytest.mark.long
@pytest.mark.machinery
def test_a_killed_run_against_an_odd_endpoint_is_finished_by_the_next(tmp_path: Path) -> None:
    replies, home, log = Replies(), tmp_path / "prefect", tmp_path / "log"
    with endpoint(replies.choose) as served:
        slow = write(tmp_path, served.url, "requests_per_minute = 120")
        replies.expect(slow, tmp_path / "planned")
        with program(run_of(slow), home, log) as driver:
            until(lambda: len(committed(tmp_path)) >= 2 * BLOCK_ROWS or driver.poll() is not None, 500)
            assert driver.poll() is None, log.read_text()
        tables = tmp_path / "storage/tables"
        kept = select(
            f"SELECT DISTINCT user || ' ' || seed FROM '{tables}/requests/*.parquet' JOIN "
            f"'{tables}/completions/*/*.parquet' USING (request_id) WHERE error IS NULL"
        )
        assert 0 < len(kept) < ANSWERS
        before = replies.asked.copy()
        with program(run_of(write(tmp_path, served.url, "requests_per_minute = 60000")), home, log) as again:
            assert again.wait() == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert all(replies.asked[request] == before[request] for (request,) in kept)
    assert_accounted_for(tmp_path, replies)
