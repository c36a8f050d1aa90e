import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from urllib3.util import Retry

from flows.pipeline import pipeline
from tests.conftest import ROOT
from tests.flows.test_serve import ask
from tests.ports import choose_ports

PREFECT = [sys.executable, "-m", "prefect"]
FILE = ROOT / "infra/prefect.yaml"
(WRITTEN,) = yaml.safe_load(FILE.read_text())["deployments"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the prefect command needs to talk to a server of its own."""
    (port,) = choose_ports(1)
    values = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "COLUMNS": "200"}
    environment = os.environ | values | {"SAFEPAIRS_HOME": str(ROOT), "SAFEPAIRS_STORAGE": "s3://bucket/prefix"}
    command = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        urllib3.request(
            "GET", f"{values['PREFECT_API_URL']}/health", retries=Retry(200, backoff_factor=0.1, backoff_max=0.5)
        )
        yield environment
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def prefect(environment: dict[str, str], *arguments: str) -> None:
    command = [*PREFECT, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_deploys_what_it_says(environment: dict[str, str]) -> None:
    prefect(environment, "work-pool", "create", "--type", "process", WRITTEN["work_pool"]["name"])
    prefect(environment, "--no-prompt", "deploy", "--prefect-file", str(FILE.relative_to(ROOT)), "--all")
    (deployed,) = ask(environment["PREFECT_API_URL"], "/deployments/filter")
    assert deployed["name"] == "nightly"
    assert deployed["entrypoint"] == "flows/pipeline.py:pipeline"
    assert [entry["schedule"]["cron"] for entry in deployed["schedules"]] == ["0 3 * * *"]
    assert deployed["global_concurrency_limit"]["limit"] == 1
    assert deployed["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert deployed["work_pool_name"] == "safepairs"
    assert deployed["job_variables"] == WRITTEN["work_pool"]["job_variables"]
    assert deployed["parameters"] == WRITTEN["parameters"] | {"storage": "s3://bucket/prefix"}
    directory: Any = deployed["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"]
    assert directory in (str(ROOT), "{{ $SAFEPAIRS_HOME }}")


def test_the_parameters_are_the_flow_s() -> None:
    assert set(WRITTEN["parameters"]) == set(inspect.signature(pipeline.fn).parameters)
    assert (ROOT / WRITTEN["parameters"]["config"]).is_file()
