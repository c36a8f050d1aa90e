"""Run flows of a test in its own process, as the runner of a deployment does it in one that takes seconds to start.

In: a small flow, and the site whose server has its runs. Out: what the server knows of a run when an execution has ended.
That a run is started again in another process is shown by the walk in `test_ui.py`.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow

from tests.served import Site
from tests.waiting import until

SECONDS_TO_CHANGE = 120


def deploy(flow: Flow[..., Any]) -> None:
    """Make the flow a deployment of its own name, whose runs nobody starts."""
    RunnerDeployment.from_flow(flow, name=flow.name).apply()


def start(site: Site, flow: Flow[..., Any], config: Path) -> dict[str, Any]:
    """Start a run of the flow's deployment, and execute it."""
    return execute(site, flow, site.create(flow.name, config=str(config)))


def execute(site: Site, flow: Flow[..., Any], run: dict[str, Any]) -> dict[str, Any]:
    """Execute a run that was started, resumed or retried, until it ends or is suspended."""
    wait_until(site, run, "SCHEDULED")
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(run["id"]))
    with suppress(Pause):
        run_flow(flow, flow_run, return_type="state")
    return site.now(run)


def wait_until(site: Site, run: dict[str, Any], state_type: str) -> dict[str, Any]:
    """Wait until the server has the run in such a state."""
    until(lambda: site.now(run)["state_type"] == state_type, SECONDS_TO_CHANGE, f"the run is {state_type}")
    return site.now(run)
