"""A real Label Studio on 127.0.0.1, from an environment of its own, for as long as a test run needs it."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT
from tests.ports import choose_ports

COMMAND = ROOT / ".venv-label-studio/bin/label-studio"
USER, PASSWORD, KEY = "first@example.com", "a-password-of-tests", "0123456789abcdef0123456789abcdef01234567"


def answers(url: str) -> bool:
    """Whether a server answers at `url`."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 (a server that we started)
    except OSError:
        return False
    return True


@contextmanager
def label_studio_server(folder: Path) -> Iterator[str]:
    """Serve an empty Label Studio, whose data is in `folder`, until the body ends; give its address."""
    assert COMMAND.is_file(), "no Label Studio: run `make install-label-studio`"
    (port,) = choose_ports(1)
    listening = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    person = ["--username", USER, "--password", PASSWORD, "--user-token", KEY]
    settings = {
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [COMMAND, "start", *listening, *person], env=os.environ | settings, stdout=log, stderr=log
        )
        try:
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert server.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
