import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from flows.running.approval import show
from infra import lock
from tests.conftest import ROOT, asked, write_config
from tests.flows.test_serve import ask, read_until, served
from tests.waiting import until

TULIPS = [f"How do I plant {number} tulips?" for number in range(12)]
SECONDS_TO_CHANGE = 120


@dataclass
class Site:
    """A served deployment: the address of its API, what it prints, and its home."""

    api: str
    said: IO[str]
    home: Path

    def start(self, config: Path) -> dict[str, Any]:
        """Start a run and read until it has left its process."""
        return self.read(self.create(config))

    def create(self, config: Path) -> dict[str, Any]:
        """Start a run."""
        (nightly,) = ask(self.api, "/deployments/filter")
        parameters = {"config": str(config), "storage": None}
        return dict(ask(self.api, f"/deployments/{nightly['id']}/create_flow_run", parameters=parameters))

    def raylets(self) -> list[int]:
        """The nodes of Ray clusters that its runs have started, whoever is their parent now."""
        found = [process.info for process in psutil.process_iter(["pid", "name", "environ"])]
        home = ("PREFECT_HOME", str(self.home))
        return [of["pid"] for of in found if of["name"] == "raylet" and home in (of["environ"] or {}).items()]

    def read(self, run: dict[str, Any]) -> dict[str, Any]:
        """Read until the run has left its process, then what the server knows of it."""
        read_until(self.said, "Flow run", run["name"], "Finished in state")
        (found,) = ask(self.api, "/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        return dict(found)

    def resume(self, run: dict[str, Any], **answers: str) -> dict[str, Any]:
        """What the server says to an answer."""
        answered = {"run_input": answers} if answers else {}
        return dict(ask(self.api, f"/flow_runs/{run['id']}/resume", **answered))

    def retry(self, run: dict[str, Any]) -> dict[str, Any]:
        """What `Retry` in the UI does."""
        ask(self.api, f"/flow_runs/{run['id']}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})
        return self.read(run)

    def tasks(self, run: dict[str, Any]) -> list[tuple[str, str]]:
        """The state and the name of each task, in all executions of the run."""
        found = ask(self.api, "/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        return [(task["state_name"], task["name"].rsplit("-", 1)[0]) for task in found]

    def logs(self, run: dict[str, Any]) -> list[str]:
        found = ask(self.api, "/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, sort="TIMESTAMP_ASC")
        return [log["message"] for log in found]

    def page(self, run: dict[str, Any]) -> str:
        """The artifact that the person is shown."""
        found = ask(self.api, "/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
        (page,) = [artifact["data"] for artifact in found if artifact["key"] == "approval"]
        return str(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("served")
    with served(folder, write_config(folder)) as (address, said):
        yield Site(f"{address}/api", said, folder)


def write_approval(folder: Path, prompts: list[str] = TULIPS, **values: object) -> Path:
    config = write_config(folder, prompts)
    lines = [f"{name} = {value}\n" for name, value in values.items()]
    config.write_text(config.read_text() + "\n[approval]\n" + "".join(lines))
    return config


def manifest(folder: Path) -> dict[str, Any]:
    releases = folder / "storage/releases"
    version = json.loads((releases / "latest.json").read_text())["version"]
    return dict(json.loads((releases / version / "manifest.json").read_text()))


def test_an_approved_release_is_published_with_name_and_time_and_asked_for_once(site: Site, tmp_path: Path) -> None:
    config = write_approval(tmp_path)
    run = site.create(config)
    until(lambda: bool(site.raylets()), SECONDS_TO_CHANGE, "the run has a cluster")
    run = site.read(run)
    assert run["state_name"] == "Suspended"
    assert not list(tmp_path.rglob("latest.json"))
    requests = asked(tmp_path)
    assert len(requests) == len(set(requests)) > 0
    finished = site.tasks(run)
    assert {state for state, _ in finished} == {"Completed"}
    page = site.page(run)
    assert "| prompts | train |" in page
    assert "no release before" in page
    assert "tulips" not in page

    with lock.exclusive(str(tmp_path / "storage")):  # nobody else holds it
        assert site.raylets() == []

    before = datetime.now(UTC).replace(microsecond=0)
    assert site.resume(run, decision="approve", name="Ada Lovelace", reason="read twenty pairs")["status"] == "ACCEPT"
    run = site.read(run)
    assert run["state_name"] == "Completed"
    approval = manifest(tmp_path)["approval"]
    assert before <= datetime.fromisoformat(approval.pop("time")) <= datetime.now(UTC)
    assert approval == {"decision": "approve", "name": "Ada Lovelace", "reason": "read twenty pairs"}
    assert asked(tmp_path) == requests
    again = [("Completed" if name.startswith("people_to") else "Cached", name) for _, name in finished]
    assert sorted(site.tasks(run)) == sorted([*finished, *again, ("Completed", "candidate_to_release")])

    repeated = site.start(config)
    assert repeated["state_name"] == "Completed"
    assert asked(tmp_path) == requests
    assert len(list((tmp_path / "storage/releases").glob("*/manifest.json"))) == 1


INCOMPLETE: tuple[dict[str, str], ...] = (
    {"decision": "approve", "name": " "},
    {"decision": "approve"},
    {"decision": "reject", "name": "Ada"},
    {"decision": "reject", "name": "Ada", "reason": " "},
    {"decision": "perhaps", "name": "Ada"},
    {},
)


def test_a_rejected_release_is_not_published_and_a_retry_asks_again(site: Site, tmp_path: Path) -> None:
    run = site.start(write_approval(tmp_path))
    assert {site.resume(run, **answer)["status"] for answer in INCOMPLETE} == {"REJECT"}
    assert site.resume(run, decision="reject", name="Ada", reason="split rows\nare too many")["status"] == "ACCEPT"
    run = site.read(run)
    assert run["state_name"] == "Failed"
    said = " was rejected by Ada: split rows are too many; nothing is published, the candidate is kept in "
    assert any(said in line and "\n" not in line for line in site.logs(run))
    assert not list(tmp_path.rglob("latest.json"))
    assert list((tmp_path / "storage/candidates").glob("*/gate/verdict.json"))

    run = site.retry(run)
    assert run["state_name"] == "Suspended"
    site.resume(run, decision="approve", name="Ada")
    assert site.read(run)["state_name"] == "Completed"
    assert manifest(tmp_path)["approval"]["decision"] == "approve"


def test_a_release_that_nobody_approves_in_time_is_not_published_until_a_retry_asks_again(
    site: Site, tmp_path: Path
) -> None:
    run = site.start(write_approval(tmp_path, timeout_hours=1 / 3600))
    until = time.monotonic() + SECONDS_TO_CHANGE
    while run["state_name"] == "Suspended" and time.monotonic() < until:
        time.sleep(1)
        (run,) = ask(site.api, "/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert run["state_name"] == "Failed"
    assert run["state"]["message"] == "The flow was paused and never resumed."
    assert any(line.startswith("waiting for approval of release ") for line in site.logs(run))
    assert not list(tmp_path.rglob("latest.json"))
    assert site.resume(run, decision="approve", name="Ada")["status"] == "ABORT"
    assert not list(tmp_path.rglob("latest.json"))

    write_approval(tmp_path)
    assert site.retry(run)["state_name"] == "Suspended"


def test_what_was_published_meanwhile_is_asked_about_anew_and_the_pointer_never_goes_back(
    site: Site, tmp_path: Path
) -> None:
    first = site.start(write_approval(tmp_path))
    config = write_approval(tmp_path, [*TULIPS, "Why do tulips close at night?"])
    second = site.start(config)
    site.resume(second, decision="approve", name="Ada")
    assert site.read(second)["state_name"] == "Completed"
    published = manifest(tmp_path)["version"]

    site.resume(first, decision="approve", name="Ada")
    first = site.read(first)
    assert first["state_name"] == "Suspended"
    assert manifest(tmp_path)["version"] == published


def test_a_candidate_that_another_run_wrote_over_is_judged_again_before_it_is_published(
    site: Site, tmp_path: Path
) -> None:
    config = write_approval(tmp_path)
    first, second = site.start(config), site.start(config)
    assert (first["state_name"], second["state_name"]) == ("Suspended", "Suspended")
    site.resume(first, decision="approve", name="Ada")
    assert site.read(first)["state_name"] == "Completed"
    found = manifest(tmp_path)
    for file in found["files"]:
        path = tmp_path / "storage/releases" / found["version"] / file["path"]
        assert path.stat().st_size == file["bytes"], file["path"]
    site.resume(second, decision="reject", name="Ada", reason="asked twice")
    assert site.read(second)["state_name"] == "Completed"
    assert manifest(tmp_path) == found


def test_a_sample_stays_inside_its_block_of_code() -> None:
    attack = "one\n```\n<script>alert(1)</script>\u2028\r\n~~~\n# \u202etwo"
    assert show({"prompt": attack, "better": 1}).splitlines() == [
        "```text",
        "prompt: one ``` <script>alert(1)</script> ~~~ # two",
        "better: 1",
        "```",
    ]
    for line in show({"prompt": "``` " * 1_000}).splitlines()[2:-1]:
        assert line.startswith(" " * 8)
    assert len(show({"prompt": "x" * 10_000})) < 1_000


def test_a_run_from_the_command_line_says_how_to_be_asked_and_keeps_the_candidate(tmp_path: Path) -> None:
    config = write_approval(tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", str(config)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "needs approval: nothing is published" in error
    assert "make serve" in error
    assert "Traceback" not in result.stdout + result.stderr
    assert not list(tmp_path.rglob("latest.json"))
    assert list((tmp_path / "storage/candidates").glob("*/gate/verdict.json"))
