"""A real Label Studio on 127.0.0.1, from an environment of its own, for as long as a test run needs it."""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import ROOT
from tests.ports import choose_ports
from tests.processes import program
from tests.waiting import Late, until

COMMAND = ROOT / ".venv-label-studio/bin/label-studio"
EMPTY = ROOT / ".venv-label-studio/empty/label_studio.sqlite3"
USER, PASSWORD, KEY = "first@example.com", "a-password-of-tests", "0123456789abcdef0123456789abcdef01234567"
SECONDS_TO_START = 240


class NotStarted(Exception):
    """The server ended instead of answering; the message is the end of its log."""


def answers(url: str) -> bool:
    """Whether a server answers at `url`."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 (a server that we started)
    except OSError:
        return False
    return True


def settings(folder: Path) -> dict[str, str]:
    """The environment of a server whose data is in `folder`, and which calls nobody."""
    return {
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def prepare() -> None:
    """Make the database of an empty server once an environment, since its migrations take half a minute.

    Every command migrates the database that it finds, so that a copy of an unfinished or older one only takes longer to start.
    """
    if not EMPTY.exists():
        EMPTY.parent.mkdir(exist_ok=True)
        subprocess.run(
            [COMMAND, "version"], env=os.environ | settings(EMPTY.parent), stdin=subprocess.DEVNULL, check=True
        )


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Start an empty Label Studio, whose data and log are in `folder`; give its address once it answers."""
    folder.mkdir()
    shutil.copy(EMPTY, folder)
    (port,) = choose_ports(1)
    listening = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    person = ["--username", USER, "--password", PASSWORD, "--user-token", KEY]
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    with program([COMMAND, "start", *listening, *person], folder, log, settings(folder)) as server:
        until(lambda: server.poll() is not None or answers(f"{url}/health"), SECONDS_TO_START, "Label Studio answers")
        if server.poll() is not None:
            raise NotStarted(log.read_text(errors="replace")[-2000:])
        yield url


@contextmanager
def label_studio_server(folder: Path) -> Iterator[str]:
    """Serve an empty Label Studio, whose data is in `folder`, until the body ends; its start is tried twice."""
    assert COMMAND.is_file(), "no Label Studio: run `make install-label-studio`"
    prepare()
    with ExitStack() as running:
        try:
            url = running.enter_context(started(folder / "first"))
        except (Late, NotStarted):
            url = running.enter_context(started(folder / "second"))
        yield url
