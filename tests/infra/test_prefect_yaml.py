import asyncio
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL
from prefect.workers.process import ProcessJobConfiguration

from flows.pipeline import pipeline
from tests.conftest import ROOT
from tests.processes import own_environment
from tests.served import ask_ours

FILE, TEMPLATE = ROOT / "infra/prefect.yaml", ROOT / "infra/job_template.json"
HOSTILE = {"command": "touch hit", "env": {"LD_PRELOAD": "hit.so"}, "env.LD_PRELOAD": "hit.so", "working_dir": "/hit"}
(WRITTEN,) = yaml.safe_load(FILE.read_text())["deployments"]
SECONDS_TO_DEPLOY = 300


def test_the_file_deploys_what_it_says(prefect_server: None, tmp_path: Path) -> None:
    pool = {"name": WRITTEN["work_pool"]["name"], "type": "process"}
    ask_ours("/work_pools/", **pool, base_job_template=json.loads(TEMPLATE.read_text()))
    deploy = ["prefect", "--no-prompt", "deploy", "--prefect-file", str(FILE.relative_to(ROOT)), "--all"]
    server = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_API_AUTH_STRING": PREFECT_API_AUTH_STRING.value()}
    values = {"SAFEPAIRS_HOME": str(ROOT), "SAFEPAIRS_STORAGE": "s3://bucket/prefix", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", *deploy],
        cwd=ROOT,
        env=own_environment(tmp_path, **server, **values),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_DEPLOY,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (deployed,) = ask_ours("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
    assert deployed["name"] == "nightly"
    assert deployed["entrypoint"] == "flows/pipeline.py:pipeline"
    assert [entry["schedule"]["cron"] for entry in deployed["schedules"]] == ["0 3 * * *"]
    assert deployed["global_concurrency_limit"]["limit"] == 1
    assert deployed["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert deployed["work_pool_name"] == "safepairs"
    assert deployed["job_variables"] == {}
    assert deployed["parameters"] == WRITTEN["parameters"] | {"storage": "s3://bucket/prefix"}
    directory: Any = deployed["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"]
    assert directory in (str(ROOT), "{{ $SAFEPAIRS_HOME }}")


def test_the_server_takes_no_job_variables(prefect_server: None, tmp_path: Path) -> None:
    name = uuid4().hex
    ask_ours("/work_pools/", name=name, type="process", base_job_template=json.loads(TEMPLATE.read_text()))
    flow = ask_ours("/flows/", name=name)
    deployed = ask_ours("/deployments/", name=name, flow_id=flow["id"], work_pool_name=name)
    start = f"/deployments/{deployed['id']}/create_flow_run"
    for variable, value in HOSTILE.items():
        with pytest.raises(AssertionError, match=f"{start}: 4"):
            ask_ours(start, job_variables={variable: value})
    assert ask_ours(start)["state"]["type"] == "SCHEDULED"


def test_whoever_starts_a_run_has_no_say_in_what_the_worker_executes(prefect_server: None) -> None:
    template = json.loads(TEMPLATE.read_text())
    # Runs that are made past the deployment are not looked at by the server.
    asked: Any = asyncio.run(ProcessJobConfiguration.from_template_and_values(template, HOSTILE))
    assert asked.env == {}
    assert (asked.command, asked.working_dir, asked.name) == (None, None, None)


def test_compose_and_the_file_s_own_commands_make_the_pool_with_the_template() -> None:
    for file in (FILE, ROOT / "infra/compose.yaml"):
        (line,) = [line for line in file.read_text().splitlines() if "work-pool create" in line]
        assert f"--base-job-template {TEMPLATE.relative_to(ROOT)}" in line


def test_the_parameters_are_the_flow_s() -> None:
    assert set(WRITTEN["parameters"]) == set(inspect.signature(pipeline.fn).parameters)
    assert (ROOT / WRITTEN["parameters"]["config"]).is_file()
