"""Serve the parent flow as a deployment with a nightly schedule; stop with Ctrl-C.

Needs a Prefect server at PREFECT_API_URL, which `make serve` starts. Runs, retries, artifacts and logs are in its UI.
"""

import sys

from flows.pipeline import pipeline
from tasks.config import load
from tasks.errors import SafePairsError
from tasks.preflight import check

if __name__ == "__main__":
    config, prompts, storage = [*sys.argv[1:], "", "", ""][:3]
    parameters = {"config": config, "prompts": prompts or None, "storage": storage or None}
    try:
        check(load(config, prompts or None, storage or None))
    except SafePairsError as error:
        sys.exit(f"error: {error}")
    pipeline.serve(name="nightly", cron="0 3 * * *", parameters=parameters, limit=1)
