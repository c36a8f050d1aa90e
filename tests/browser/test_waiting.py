from pathlib import Path

import pytest
from prefect import flow

from flows.running.waiting import wait_for_people
from tasks.config import load
from tasks.people.review import Project
from tests.browser.runner import deploy, execute, start, wait_until
from tests.conftest import write_config
from tests.served import Site


@flow(persist_result=False)
def waits(config: str) -> None:
    """Waits for people, if there is something to do for them, then fails until a file is there."""
    folder = Path(config).parent
    wait_for_people(load(config), Project("", 0 if (folder / "done").exists() else 1, 0))
    assert (folder / "mended").exists()


@pytest.fixture(scope="module")
def waiting(own_runs: Site) -> Site:
    deploy(waits)
    return own_runs


def write_review(folder: Path, hours: float) -> Path:
    config = write_config(folder)
    config.write_text(f"{config.read_text()}\n[review]\nwait_hours = {hours}\n")
    return config


def test_a_deployed_run_waits_for_people_once(waiting: Site, tmp_path: Path) -> None:
    run = start(waiting, waits, write_review(tmp_path, 1))
    assert run["state_name"] == "Suspended"
    assert waiting.resume(run)["status"] == "ACCEPT"
    assert execute(waiting, waits, run)["state_name"] == "Failed"
    (tmp_path / "mended").touch()
    waiting.retry(run)
    assert execute(waiting, waits, run)["state_name"] == "Completed"


def test_a_deployed_run_does_not_wait_where_nothing_is_to_be_done(waiting: Site, tmp_path: Path) -> None:
    (tmp_path / "done").touch()
    (tmp_path / "mended").touch()
    assert start(waiting, waits, write_review(tmp_path, 1))["state_name"] == "Completed"


def test_a_deployed_run_that_nobody_resumes_fails(waiting: Site, tmp_path: Path) -> None:
    run = wait_until(waiting, start(waiting, waits, write_review(tmp_path, 1 / 3600)), "FAILED")
    assert run["state"]["message"] == "The flow was paused and never resumed."


def test_a_run_from_the_command_line_does_not_wait_for_people(tmp_path: Path) -> None:
    wait_for_people(load(str(write_review(tmp_path, 1))), Project("", 1, 0))
