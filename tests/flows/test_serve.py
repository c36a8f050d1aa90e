import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.conftest import ROOT, write_config
from tests.ports import choose_ports

SQLITE_IS_BUSY = 503
TRIES = 10


def ask(api: str, path: str, **body: Any) -> Any:
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{api}{path}", data=data, headers=headers)  # noqa: S310
    for _ in range(TRIES):
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 (a server that this test started)
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != SQLITE_IS_BUSY:
                raise
            time.sleep(1)
    raise AssertionError(f"{path}: the server is busy")


def read_until(output: IO[str], *words: str) -> str:
    said = []
    for line in output:
        said.append(line)
        if all(word in line for word in words):
            return line
    raise AssertionError("".join(said))


@contextmanager
def served(folder: Path, config: Path) -> Iterator[tuple[str, IO[str]]]:
    """A server of Prefect with the deployment: its address, and what it prints."""
    (port,) = choose_ports(1)
    values = {"PORT": port, "CONFIG": config, "STORAGE": folder / "storage", "PREFECT_HOME": folder}
    server = subprocess.Popen(
        ["make", "serve", *(f"{name}={value}" for name, value in values.items())],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "PREFECT_RUNNER_POLL_FREQUENCY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    try:
        read_until(server.stdout, "safepairs/nightly")
        yield f"http://127.0.0.1:{port}", server.stdout
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def test_a_served_deployment_is_scheduled_and_runs(tmp_path: Path) -> None:
    with served(tmp_path, write_config(tmp_path)) as (address, output):
        api = f"{address}/api"
        (nightly,) = ask(api, "/deployments/filter")
        assert [entry["schedule"]["cron"] for entry in nightly["schedules"]] == ["0 3 * * *"]
        run = ask(api, f"/deployments/{nightly['id']}/create_flow_run")
        assert "Completed()" in read_until(output, "Flow run", run["name"], "Finished in state")
        keys = {artifact["key"] for artifact in ask(api, "/artifacts/filter")}
        assert {"sources-to-prompts", "prompts-to-responses", "pairs-to-preferences", "gate", "release"} <= keys
        assert {"progress-responses-by-scripted-a", "progress-labels-by-judge"} <= keys
        assert any(log["name"] == "tasks.work.store" for log in ask(api, "/logs/filter"))
    assert (tmp_path / "storage/releases/latest.json").is_file()
