"""The served deployment: a Prefect server with `nightly`, and what a person or a program asks of it."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import uuid4

import psutil
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from tests.ports import choose_ports
from tests.processes import SECONDS_TO_END, program, started_with
from tests.waiting import until

LOGIN = "tests:a-login-of-tests"
BUSY = (500, 502, 503)
"""What a server of Prefect says on SQLite while another writes."""
SECONDS_OF_PATIENCE = 60
SECONDS_TO_START, SECONDS_TO_FINISH = 600, 1_200


def ask(api: str, path: str, login: str = LOGIN, /, **body: Any) -> Any:
    """What a server says; a refused connection and a busy database are asked again for a while."""
    data, token = json.dumps(body).encode(), b64encode(login.encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    request = urllib.request.Request(f"{api}{path}", data=data, headers=headers)  # noqa: S310
    said: list[Any] = []
    refused: list[str] = []

    def answered() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (a server that a test started)
                said.append(json.load(answer))
        except urllib.error.HTTPError as error:
            refused.append(f"{error.code} {error.read().decode(errors='replace')[:500]}")
            if error.code not in BUSY:
                raise AssertionError(f"{path}: {refused[-1]}") from None
        except OSError as error:
            refused.append(str(error))
        return bool(said)

    until(answered, SECONDS_OF_PATIENCE, f"{path} is answered")
    return said[0]


def ask_ours(path: str, **body: Any) -> Any:
    """What the server says that this process talks to."""
    return ask(PREFECT_API_URL.value(), path, PREFECT_API_AUTH_STRING.value(), **body)


@dataclass
class Site:
    """A served deployment: its address, its home, its schedule, what it prints, and which runs were seen to finish."""

    address: str
    home: Path
    cron: str
    log: Path
    server: Popen[bytes]
    finished: Counter[str] = field(default_factory=Counter)

    @property
    def api(self) -> str:
        """The address of its API."""
        return f"{self.address}/api"

    def printed(self, *words: str) -> int:
        """How many lines that hold all these words it has printed."""
        assert self.server.poll() is None, self.log.read_text(errors="replace")[-3000:]
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(all(word in line for word in words) for line in lines)

    def create(self, deployment: str = "nightly", **parameters: str | None) -> dict[str, Any]:
        """Start a run of a deployment, with these parameters where some are given."""
        (found,) = ask(self.api, "/deployments/filter", deployments={"name": {"any_": [deployment]}})
        given: dict[str, Any] = {"parameters": parameters} if parameters else {}
        # With a key, a request that was busy and is made again starts no second run.
        return dict(ask(self.api, f"/deployments/{found['id']}/create_flow_run", idempotency_key=str(uuid4()), **given))

    def start(self, deployment: str = "nightly", **parameters: str | None) -> dict[str, Any]:
        """Start a run and wait until it has left its process."""
        return self.read(self.create(deployment, **parameters))

    def read(self, run: dict[str, Any]) -> dict[str, Any]:
        """Wait until this execution of the run has ended, then what the server knows of the run."""
        self.finished[run["name"]] += 1
        done = self.finished[run["name"]]
        until(lambda: self.printed(run["name"], "Finished in state") >= done, SECONDS_TO_FINISH, f"{run['name']} ends")
        return self.now(run)

    def now(self, run: dict[str, Any]) -> dict[str, Any]:
        """What the server knows of the run."""
        (found,) = ask(self.api, "/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        return dict(found)

    def resume(self, run: dict[str, Any], **answers: str) -> dict[str, Any]:
        """What the server says to an answer."""
        answered = {"run_input": answers} if answers else {}
        return dict(ask(self.api, f"/flow_runs/{run['id']}/resume", **answered))

    def retry(self, run: dict[str, Any]) -> None:
        """What `Retry` in the UI does; the run starts again by itself."""
        ask(self.api, f"/flow_runs/{run['id']}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})

    def tasks(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """All tasks of all executions of the run that the server has heard of by now."""
        return list(ask(self.api, "/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}))

    def logs(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """What the server has heard of the run's log by now: a run sends it in batches."""
        return list(ask(self.api, "/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, sort="TIMESTAMP_ASC"))

    def artifacts(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """All artifacts of the run."""
        return list(ask(self.api, "/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}}))

    def raylets(self) -> list[psutil.Process]:
        """The nodes of Ray clusters that its runs have started, whoever is their parent now."""
        found = []
        for process in started_with(self.home):
            with suppress(psutil.Error):
                if process.name() == "raylet":
                    found.append(process)
        return found


def far_away() -> str:
    """A schedule that does not come while tests run: the first of a month half a year from now."""
    return f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"


@contextmanager
def served(folder: Path, config: Path) -> Iterator[Site]:
    """`make serve` of the configuration, with its storage and its Prefect home in `folder`."""
    (port,) = choose_ports(1)
    home, cron, log = folder / "prefect", far_away(), folder / "served.log"
    values = {"PORT": port, "CONFIG": config, "STORAGE": folder / "storage", "CRON": cron, "PREFECT_HOME": home}
    command = ["make", "serve", *(f"{name}={value}" for name, value in values.items())]
    variables = {"COLUMNS": "200", "PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_SERVER_API_AUTH_STRING": LOGIN}
    with program(command, home, log, variables) as server:
        site = Site(f"http://127.0.0.1:{port}", home, cron, log, server)
        until(lambda: site.printed("safepairs/nightly"), SECONDS_TO_START, "the deployment is served")
        yield site
        server.terminate()
        until(lambda: not started_with(home), SECONDS_TO_END, "SIGTERM ends all that was served")
