import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.settings import PREFECT_API_URL

from flows.pipeline import pipeline
from tests.conftest import ROOT
from tests.processes import own_environment
from tests.served import ask

FILE = ROOT / "infra/prefect.yaml"
(WRITTEN,) = yaml.safe_load(FILE.read_text())["deployments"]
SECONDS_TO_DEPLOY = 300


def test_the_file_deploys_what_it_says(prefect_server: None, tmp_path: Path) -> None:
    api = PREFECT_API_URL.value()
    ask(api, "/work_pools/", name=WRITTEN["work_pool"]["name"], type="process")
    deploy = ["prefect", "--no-prompt", "deploy", "--prefect-file", str(FILE.relative_to(ROOT)), "--all"]
    values = {"SAFEPAIRS_HOME": str(ROOT), "SAFEPAIRS_STORAGE": "s3://bucket/prefix", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", *deploy],
        cwd=ROOT,
        env=own_environment(tmp_path, PREFECT_API_URL=api, **values),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_DEPLOY,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (deployed,) = ask(api, "/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
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
