"""Serve the parent flow as the deployment `nightly`, which a schedule starts; Ctrl-C or SIGTERM end it and its runs.

Needs a Prefect server at PREFECT_API_URL, which `make serve` starts. Runs, retries, artifacts and logs are in its UI.
"""

import sys

from flows.pipeline import pipeline
from flows.running.allowed import allow
from flows.running.stopping import ends_at_once
from infra.storage import without_credentials
from tasks.config import load
from tasks.errors import SafePairsError
from tasks.preflight import check

SECONDS_FOR_RUNS = 10.0
"""What a run at work has to stop its jobs on other machines."""

if __name__ == "__main__":
    cron, config, prompts, storage = [*sys.argv[1:], "", "", "", ""][:4]
    parameters = {"config": config, "prompts": prompts or None, "storage": storage or None}
    try:
        check(load(config, prompts or None, storage or None))
    except SafePairsError as error:
        sys.exit(f"error: {error}")
    allow(parameters)
    with ends_at_once(SECONDS_FOR_RUNS):
        told = parameters | {"prompts": (prompts and without_credentials(prompts)) or None}
        pipeline.serve(name="nightly", cron=cron or None, parameters=told, limit=1)
