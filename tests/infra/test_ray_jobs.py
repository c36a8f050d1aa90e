import asyncio
import http.server
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import pytest
from ray.job_submission import JobSubmissionClient

from infra import ray_jobs
from tests.ports import choose_ports


@contextmanager
def jobs_api(status: int, kind: str, leads_to: str = "") -> Iterator[tuple[str, list[str]]]:
    """The address of a server that answers each request in this way, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", leads_to)
            content = b"[]" if "json" in kind else b"<html>"
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def said(address: str) -> str:
    """Why no job was submitted."""
    with pytest.raises(ray_jobs.JobFailed) as failed:
        ray_jobs.run(address, "answers", "true", lambda _: None)
    assert "\n" not in str(failed.value)
    assert address in str(failed.value)
    return str(failed.value)


def test_a_cluster_that_answers_those_without_a_token_gets_no_job() -> None:
    with jobs_api(200, "application/json; charset=utf-8") as (address, asked):
        assert "RAY_AUTH_MODE=token" in said(address)
        assert asked == ["GET /api/jobs/"]
        with jobs_api(308, "text/html", f"{address}/api/jobs/") as (other, _):
            assert "RAY_AUTH_MODE=token" in said(other)
        assert set(asked) == {"GET /api/jobs/"}


def test_a_cluster_that_asks_for_another_token_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with jobs_api(401, "application/json") as (address, _):
        assert "RAY_AUTH_MODE=token" not in said(address)


def test_what_answers_with_a_page_is_not_taken_for_a_cluster_without_tokens() -> None:
    with jobs_api(200, "text/html") as (address, _):
        assert "RAY_AUTH_MODE=token" not in said(address)


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    assert "no Ray cluster takes jobs" in said(f"http://127.0.0.1:{choose_ports(1)[0]}")


class Told(BaseException):
    """What Prefect raises in a run that is to end is no `Exception` either."""


class Endless:
    """A job that prints a line, then has this process told to end, and prints no more."""

    def __init__(self, is_at_work: bool) -> None:
        self.is_at_work = is_at_work
        self.left = threading.Event()

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        try:
            yield "first\n"
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            loop = asyncio.get_running_loop()
            while True:
                turn = loop.create_future()
                if self.is_at_work:
                    loop.call_soon(turn.set_result, None)
                await turn
        finally:
            self.left.set()


@pytest.mark.parametrize("is_at_work", [True, False], ids=["at work", "waiting"])
def test_what_a_signal_raises_ends_the_following_of_a_job(is_at_work: bool) -> None:
    def tell(number: int, frame: FrameType | None) -> None:
        raise Told

    job = Endless(is_at_work)
    lines = ray_jobs.output(cast(JobSubmissionClient, job), "answers")
    before = signal.signal(signal.SIGUSR1, tell)
    try:
        assert next(lines) == "first"
        with pytest.raises(Told):
            next(lines)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert job.left.is_set()
