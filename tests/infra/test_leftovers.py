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
from tests.conftest import ROOT
from tests.waiting import until

OWNS = """
import subprocess, sys, threading
from infra import leftovers

leftovers.own()
with leftovers.folder() as folder:
    (folder / "file").touch()
    started = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    print(started.pid, folder, flush=True)
    threading.Event().wait()
"""
SWEEPS = "from infra import leftovers\nleftovers.own()\nleftovers.own()\n"
NOBODY = 999_999_999


@contextmanager
def owner(**variables: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, Path]]:
    """A process that owns another one and a folder: all three."""
    environment = os.environ | variables
    with subprocess.Popen(
        [sys.executable, "-c", OWNS], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        pid, folder = process.stdout.readline().split()
        started = psutil.Process(int(pid))
        try:
            yield process, started, Path(folder)
        finally:
            process.kill()
            with suppress(psutil.NoSuchProcess):
                started.kill()
            shutil.rmtree(folder, ignore_errors=True)


def is_at_work(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_what_a_killed_owner_started_is_swept_and_what_others_own_is_left() -> None:
    with ExitStack() as stack:
        dead, living = (stack.enter_context(owner()) for _ in range(2))
        assert dead[2].stat().st_mode & 0o777 == 0o700
        dead[0].kill()
        dead[0].wait()
        assert is_at_work(dead[1])
        subprocess.run([sys.executable, "-c", SWEEPS], cwd=ROOT, check=True)
        until(lambda: not is_at_work(dead[1]), 60)
        assert not dead[2].exists()
        assert is_at_work(living[1])
        assert (living[2] / "file").exists()


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


def test_a_writer_that_is_killed_leaves_a_file_that_is_deleted(tmp_path: Path) -> None:
    writes = "import os, signal, sys\nfrom infra import storage\n" + (
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\nstorage.write_bytes(sys.argv[1], b'half')"
    )
    killed = subprocess.run([sys.executable, "-c", writes, tmp_path / "x"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    storage.remove_unfinished(str(tmp_path))
    assert not list(tmp_path.iterdir())
