import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_config

LIMIT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
ENTRY_POINTS = ("flows.pipeline", "flows.running.review", "flows.running.serve")


def environment(**variables: str) -> dict[str, str]:
    """The environment of a user who has no server: not the one that other tests of this process share."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return own | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | variables


@pytest.mark.parametrize("block", ["", 'credentials_block = "a-block"\n'], ids=["at the flow", "at the credentials"])
def test_a_server_that_does_not_start_in_time_is_one_line(tmp_path: Path, block: str) -> None:
    config = write_config(tmp_path)
    config.write_text(block + config.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", str(config)],
        cwd=ROOT,
        env=environment(**{LIMIT: "0", "PREFECT_HOME": str(tmp_path / "prefect")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert LIMIT in errors[0]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("module", ENTRY_POINTS)
@pytest.mark.parametrize(("said", "limit"), [({}, 120), ({LIMIT: "7"}, 7)], ids=["by itself", "by the user"])
def test_each_entry_point_has_the_limit(module: str, said: dict[str, str], limit: int) -> None:
    program = (
        f"import {module}; from prefect.settings import get_current_settings;"
        f"assert get_current_settings().server.ephemeral.startup_timeout_seconds == {limit}"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(**said), check=True)
