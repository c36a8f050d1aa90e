import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from infra import leftovers, storage
from infra.user import have_name_and_home
from tests.conftest import ROOT
from tests.processes import program
from tests.waiting import until

OWNS = """
import subprocess, sys, threading
from infra import leftovers

leftovers.own()
with leftovers.folder() as folder:
    waits = ["tail", "-f", "/dev/null"]
    with (folder / "file").open("w") as file:
        titled = subprocess.Popen(waits, env={}, stdout=file)  # as if its title stood where its environment was
    print(subprocess.Popen(waits).pid, titled.pid, folder, flush=True)
    threading.Event().wait()
"""
SWEEPS = "from infra import leftovers\nleftovers.own()\nleftovers.own()\n"
NOBODY = 999_999_999
SERVES = """
import sys
from infra import serve

sys.executable = sys.argv[1]
serve.wait_until_healthy = lambda server, port, told: print("served", flush=True)
serve.main(1)
"""


@contextmanager
def owner(**variables: str) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process], Path]]:
    """A process that owns two others and a folder: all of them."""
    environment = os.environ | variables
    with subprocess.Popen(
        [sys.executable, "-c", OWNS], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        *pids, folder = process.stdout.readline().split()
        started = [psutil.Process(int(pid)) for pid in pids]
        try:
            yield process, started, Path(folder)
        finally:
            process.kill()
            for each in started:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            shutil.rmtree(folder, ignore_errors=True)


def is_at_work(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_what_a_killed_owner_started_is_swept_and_what_others_own_is_left() -> None:
    with ExitStack() as stack:
        dead, living = (stack.enter_context(owner()) for _ in range(2))
        owned = stack.enter_context(owner(**{leftovers.OWNER: f"{leftovers.here()}-{dead[0].pid}"}))
        assert dead[2].stat().st_mode & 0o777 == 0o700
        assert all(map(is_at_work, dead[1]))  # as soon as its owner is dead, tests beside this one may sweep it too
        dead[0].kill()
        dead[0].wait()
        subprocess.run([sys.executable, "-c", SWEEPS], cwd=ROOT, check=True)
        until(lambda: not any(map(is_at_work, (*dead[1], psutil.Process(owned[0].pid), *owned[1]))), 60)
        assert not dead[2].exists()
        assert not owned[2].exists()
        assert all(map(is_at_work, living[1]))
        assert (living[2] / "file").exists()


def test_what_a_killed_process_could_not_hold_in_memory_is_swept_wherever_it_is(tmp_path: Path) -> None:
    far = tmp_path / "a-folder-for-temporary-files"
    far.mkdir()
    environment = os.environ | {"TMPDIR": str(far)}
    spills = "import os\nfrom infra import leftovers\nos.mkdir(leftovers.spill())\nos.kill(os.getpid(), 9)\n"
    subprocess.run([sys.executable, "-c", spills], cwd=ROOT, env=environment, check=False)
    assert len(list(far.rglob("*"))) == 2
    subprocess.run([sys.executable, "-c", SWEEPS], cwd=ROOT, env=environment, check=True)
    assert not list(far.iterdir())


@pytest.mark.parametrize("home", [None, "/", "/no/where", "relative", "/dev/null"])
def test_a_user_without_a_name_or_a_home_has_both(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, home or "")
        monkeypatch.delenv(name)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    access = os.access
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("os.access", lambda path, mode: path != "/" and access(path, mode))  # as if not root
    have_name_and_home()
    assert getpass.getuser() == f"user-{os.getuid()}"
    assert Path.home().is_dir()
    assert Path.home().parent == Path(leftovers.spill()).parent
    kept = Path.home()
    have_name_and_home()
    assert Path.home() == kept


def test_a_user_with_a_name_and_a_home_keeps_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    monkeypatch.setenv("HOME", str(tmp_path))
    have_name_and_home()
    assert (getpass.getuser(), Path.home()) == ("grace", tmp_path)


def test_what_a_killed_server_of_a_deployment_started_is_swept(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for name in ("prefect", "python"):
        (tmp_path / name).write_text('#!/bin/sh\necho $$ >> "$PREFECT_HOME/$(basename $0)"\nexec tail -f /dev/null\n')
        (tmp_path / name).chmod(0o755)
    pids = [tmp_path / "home" / name for name in ("prefect", "python")]
    with program([sys.executable, "-c", SERVES, tmp_path / "python"], tmp_path / "home", tmp_path / "log") as server:
        until(lambda: all(pid.exists() and pid.read_text().endswith("\n") for pid in pids), what="both are started")
        started = [psutil.Process(int(pid.read_text())) for pid in pids]
        server.kill()
        server.wait()
        subprocess.run([sys.executable, "-c", SWEEPS], cwd=ROOT, check=True)
        until(lambda: not any(map(is_at_work, started)), 60, "they are swept")


@pytest.mark.parametrize(
    ("of", "is_dead"),
    [
        (f"{leftovers.here()}-{NOBODY}", True),
        (leftovers.myself(), False),
        (f"{leftovers.here()}-1", False),
        # The same number is another process on another machine, or in another container.
        (f"{'0' if leftovers.here()[0] != '0' else '1'}{leftovers.here()[1:]}-{NOBODY}", False),
        ("", False),
        (f"{leftovers.here()}-", False),
        (f"{leftovers.here()}-{'9' * 40}", False),
        (f"{leftovers.here()}-1-{NOBODY}", False),
    ],
    ids=[
        "gone",
        "this process",
        "the first process",
        "elsewhere",
        "nobody",
        "no number",
        "a long number",
        "two numbers",
    ],
)
def test_only_an_owner_of_this_machine_that_is_no_more_is_dead(of: str, is_dead: bool) -> None:
    assert leftovers.is_dead(of) == is_dead


def test_files_that_nobody_writes_any_more_are_deleted_and_no_others(tmp_path: Path) -> None:
    old = time.time() - 2 * storage.SECONDS_TO_WRITE
    number, table = "0" * 32, "a" * 32
    folder = tmp_path / "tables" / "responses"
    folder.mkdir(parents=True)
    of_dead, of_living = (f"{leftovers.here()}-{pid}" for pid in (NOBODY, os.getpid()))
    goes = {
        f"{table}.parquet.{of_dead}.{number}.partial": None,
        f"x.{number}.partial": old,
        f"tmp_{table}.parquet": old,
    }
    stays = {
        f"{table}.parquet.{of_living}.{number}.partial": None,
        f"x.{number}.partial.parquet": old,
        f"y.{number}.partial": None,
        f"tmp_{'b' * 32}.parquet": None,
        "tmp_notes.parquet": old,
        "mine.partial": old,
        f"{table}.parquet": old,
    }
    for name, changed in (goes | stays).items():
        (folder / name).touch()
        if changed:
            os.utime(folder / name, (changed, changed))
    storage.remove_unfinished(str(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == sorted(stays)


def test_a_folder_that_nobody_fills_any_more_is_deleted_with_all_that_it_holds(tmp_path: Path) -> None:
    dead, living = (f"probe.{leftovers.here()}-{pid}.{'0' * 32}.partial" for pid in (NOBODY, os.getpid()))
    for name in (dead, living):
        storage.write_bytes(str(tmp_path / "releases" / name / "last"), b"")
    storage.remove_unfinished(str(tmp_path))
    assert [path.name for path in (tmp_path / "releases").iterdir()] == [living]


def test_a_writer_that_is_killed_leaves_a_file_that_is_deleted(tmp_path: Path) -> None:
    writes = "import os, signal, sys\nfrom infra import storage\n" + (
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\nstorage.write_bytes(sys.argv[1], b'half')"
    )
    killed = subprocess.run([sys.executable, "-c", writes, tmp_path / "x"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    storage.remove_unfinished(str(tmp_path))
    assert not list(tmp_path.iterdir())
