import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_config
from tests.processes import program

LIMIT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
ENTRY_POINTS = ("flows.pipeline", "flows.running.review", "flows.running.serve")
FAILING = """
import sys
from flows.pipeline import main

for config in sys.argv[1:]:
    sys.argv = ["flows.pipeline", config]
    try:
        main()
    except SystemExit as ended:
        print("ended with", ended.code, flush=True)
"""
LIMITS = """
import os, sys
from importlib import import_module

class Reached(Exception):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "prefect":
            raise Reached

sys.meta_path.insert(0, Finder())
given = dict(os.environ)
for name in sys.argv[2:]:
    # Each finds the environment of a user, and nothing of ours imported.
    os.environ.clear()
    os.environ.update(given)
    for module in [module for module in sys.modules if module.split(".")[0] in ("flows", "tasks", "infra", "expectations")]:
        del sys.modules[module]
    try:
        import_module(name)
    except Reached:
        print(os.environ.get(sys.argv[1]))
"""
"""Prints what the limit is when Prefect, which reads it then, is about to be imported."""


def said_by(script: str, folder: Path, *arguments: str | Path, **variables: str) -> list[str]:
    """What a program prints that a user starts, who has no server and has said nothing of a limit but in `variables`."""
    log = folder / "log"
    # Without the limit that this process has from the flows that it imported.
    command = ["env", "--unset", LIMIT, *(f"{name}={value}" for name, value in variables.items())]
    with program([*command, sys.executable, "-c", script, *arguments], folder / "prefect", log) as started:
        started.wait()
    return log.read_text().splitlines()


@pytest.mark.machinery
def test_a_server_that_does_not_start_in_time_is_one_line_at_the_flow_and_at_the_credentials(tmp_path: Path) -> None:
    plain, with_block = write_config(tmp_path), tmp_path / "with_block.toml"
    with_block.write_text('credentials_block = "a-block"\n' + plain.read_text())
    said = said_by(FAILING, tmp_path, plain, with_block, **{LIMIT: "0"})
    ends = [line for line in said if line.startswith(("error: ", "ended "))]
    assert [line.split()[0] for line in ends] == ["error:", "ended", "error:", "ended"], said
    assert all(LIMIT in error for error in ends[::2])
    assert ends[1::2] == ["ended with 2"] * 2
    assert not any("Traceback" in line for line in said)


def test_an_address_of_a_server_with_which_prefect_cannot_be_imported_is_one_line() -> None:
    environment = os.environ | {"PREFECT_API_URL": "http://me:secret@[::1/api"}
    done = subprocess.run(
        [sys.executable, "-c", "import flows"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: PREFECT_API_URL: is no address of a server; mend it, or unset it\n"


@pytest.mark.parametrize("command", [["-c", "import flows"], ["-m", "infra.serve", "4200", "", "", "", ""]])
def test_a_setting_that_prefect_does_not_take_is_one_line(command: list[str]) -> None:
    environment = os.environ | {"PREFECT_LOGGING_LEVEL": "nonsense"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: PREFECT_LOGGING_LEVEL: Prefect does not take it: Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'; "
        "mend it, or unset it\n"
    )


@pytest.mark.parametrize(("said", "limit"), [({}, "120"), ({LIMIT: "7"}, "7")], ids=["by itself", "by the user"])
def test_each_entry_point_has_the_limit_before_it_imports_prefect(
    tmp_path: Path, said: dict[str, str], limit: str
) -> None:
    assert said_by(LIMITS, tmp_path, LIMIT, *ENTRY_POINTS, **said) == [limit] * len(ENTRY_POINTS)
