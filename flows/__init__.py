"""The Prefect flows: edges between tables. `pipeline.py` is the whole, each `x_to_y.py` one stage."""

import os
import signal
import sys
import warnings
from contextlib import redirect_stderr
from io import StringIO
from urllib.parse import urlsplit

from pydantic import ValidationError

import infra  # noqa: F401 (before Prefect too: it sees to the environment)

# Before Prefect is imported, which reads it then: on a busy machine its own 20 s are too few.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
# No page but the server's own, which needs no permission, is answered by the temporary server of a run.
os.environ.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "http://127.0.0.1")
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # This is a command that imports for some seconds: Ctrl-C ends it without a stack until it listens itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
# `flows.running.server` says it in one line, where anybody needs that folder.
warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
try:
    urlsplit(os.environ.get("PREFECT_API_URL", ""))
except ValueError:  # with which Prefect cannot be imported
    sys.stderr.write("error: PREFECT_API_URL: is no address of a server; mend it, or unset it\n")
    raise SystemExit(2) from None
try:
    # It says something of its own, of several lines, before it fails.
    with redirect_stderr(StringIO()) as told:
        from prefect.settings import get_current_settings

        get_current_settings()
except ValidationError as error:
    (first, *_) = error.errors()
    key = str(first["loc"][0]) if first["loc"] else ""
    named = [name for name in os.environ if name.startswith("PREFECT_") and name.endswith(f"_{key.upper()}")]
    setting = ", ".join(sorted(named)) or f"{key} in a profile of Prefect"
    sys.stderr.write(f"error: {setting}: Prefect does not take it: {first['msg']}; mend it, or unset it\n")
    raise SystemExit(2) from None
sys.stderr.write(told.getvalue())
