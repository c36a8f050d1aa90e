"""The Prefect flows: edges between tables. `pipeline.py` is the whole, each `x_to_y.py` one stage."""

import os

# Before Prefect is imported, which reads it then: on a busy machine its own 20 s are too few.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
# No page but the server's own, which needs no permission, is answered by the temporary server of a run.
os.environ.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "http://127.0.0.1")
