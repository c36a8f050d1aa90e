import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import flow

from flows.running.waiting import wait_for_people
from tasks.config import load
from tasks.people.review import Project
from tests.conftest import ROOT, write_config
from tests.flows.test_serve import ask, served
from tests.waiting import until

SECONDS_TO_CHANGE = 120


@flow(persist_result=False)
def waits(config: str) -> None:
    """Waits for people, if there is something to do for them, then fails until a file is there."""
    folder = Path(config).parent
    wait_for_people(load(config), Project("", 0 if (folder / "done").exists() else 1, 0))
    assert (folder / "mended").exists()


def write_review(folder: Path, hours: float) -> Path:
    config = write_config(folder)
    config.write_text(f"{config.read_text()}\n[review]\nwait_hours = {hours}\n")
    return config


def wait_until(api: str, run: dict[str, Any], *states: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        (now,) = ask(api, "/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        return dict(now)

    until(lambda: found()["state_name"] in states, SECONDS_TO_CHANGE, f"the run is {' or '.join(states)}")
    return found()


def test_a_deployed_run_waits_for_people_once_and_fails_when_nobody_resumes_it(tmp_path: Path) -> None:
    config = write_review(tmp_path, 1)
    with served(tmp_path, config) as (site, _):
        api = f"{site}/api"
        serving = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.test_waiting", str(config)],
            cwd=ROOT,
            env=os.environ
            | {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path), "PREFECT_RUNNER_POLL_FREQUENCY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            named = {"name": {"any_": ["waits"]}}
            until(lambda: ask(api, "/deployments/filter", deployments=named), SECONDS_TO_CHANGE, "the flow is served")
            (deployed,) = ask(api, "/deployments/filter", deployments=named)
            start = f"/deployments/{deployed['id']}/create_flow_run"
            run = wait_until(api, ask(api, start), "Suspended")
            assert ask(api, f"/flow_runs/{run['id']}/resume")["status"] == "ACCEPT"
            run = wait_until(api, run, "Failed")
            (tmp_path / "mended").touch()
            ask(api, f"/flow_runs/{run['id']}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})
            wait_until(api, run, "Completed")

            (tmp_path / "done").touch()
            run = wait_until(api, ask(api, start), "Completed", "Suspended")
            assert run["state_name"] == "Completed"
            (tmp_path / "done").unlink()

            write_review(tmp_path, 1 / 3600)
            run = wait_until(api, ask(api, start), "Failed")
            assert run["state"]["message"] == "The flow was paused and never resumed."
        finally:
            serving.terminate()
            serving.wait()


def test_a_run_from_the_command_line_does_not_wait_for_people(tmp_path: Path) -> None:
    wait_for_people(load(str(write_review(tmp_path, 1))), Project("", 1, 0))


if __name__ == "__main__":
    waits.serve(name="waits", parameters={"config": sys.argv[1]})
