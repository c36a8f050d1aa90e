"""The Prefect flows: edges between tables. `pipeline.py` is the whole, each `x_to_y.py` one stage."""

import os
import signal
import sys
import warnings

from infra import prefect_settings  # before Prefect: `infra` sees to the environment

# Before Prefect is imported, which reads it then: on a busy machine its own 20 s are too few.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
# No page but the server's own, which needs no permission, is answered by the temporary server of a run.
os.environ.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "http://127.0.0.1")
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # This is a command that imports for some seconds: Ctrl-C ends it without a stack until it listens itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
# `flows.running.server` says it in one line, where anybody needs that folder.
warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
prefect_settings.check()
