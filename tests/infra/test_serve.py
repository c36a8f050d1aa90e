import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import until

STANDS_FOR = """#!/bin/sh
[ "$1" = -c ] && exit
echo {name} starts >> {log}
trap 'echo {name} ends >> {log}; exit' TERM
while :; do sleep 0.1; done
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_deployment_and_then_its_server(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    for name, program in (("server", "prefect"), ("deployment", "python")):
        (tmp_path / program).write_text(STANDS_FOR.format(name=name, log=log))
        (tmp_path / program).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    serving = subprocess.Popen(["sh", "infra/serve.sh", "1", "", "", "", ""], cwd=ROOT, env=environment)
    try:
        until(lambda: log.exists() and "deployment starts" in log.read_text(), 60)
        serving.send_signal(number)
        assert serving.wait(60) == 128 + number
    finally:
        serving.kill()
    assert log.read_text().splitlines() == ["server starts", "deployment starts", "deployment ends", "server ends"]
