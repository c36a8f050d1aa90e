"""The Prefect server that a run talks to: one that is configured, or a temporary one that Prefect starts for it.

In: Prefect's settings. Out: a server that lets this process in and, where it is a temporary one, nobody else. Grain: one process.
"""

import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import prefect
from prefect import context
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
)

from infra import proxies, storage
from infra.serve import make_home
from infra.storage import shown
from tasks.errors import SafePairsError

MIGRATIONS = Path(prefect.__file__).parent / "server/database/_migrations/versions/sqlite"
"""The states that the database of this Prefect has had: one file each, its number in its name."""
OF_PREFECT = "\N{WAVING HAND SIGN}"
"""What a Prefect server says to `hello`."""
SECONDS_BETWEEN_LOOKS = 0.1


def lock_temporary_server() -> None:
    """Have the temporary server, where no other one is configured, ask for a login that only this process knows.

    A server that is configured has a login of its own, or none.
    """
    # Of all threads, as no other context is; and not the environment, which all that is started inherits.
    ours = context.GLOBAL_SETTINGS_CONTEXT
    asked, given = ours.settings.server.api.auth_string, ours.settings.api.auth_string
    if not ours.settings.api.url and (not given or given != asked):
        login = f"safepairs:{secrets.token_urlsafe(24)}"
        settings = ours.settings.copy_with_update(
            updates={PREFECT_SERVER_API_AUTH_STRING: login, PREFECT_API_AUTH_STRING: login}
        )
        context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=ours.profile, settings=settings)


def watch() -> None:
    """Have Prefect start its temporary server as one that it sees end, and that does not hear Ctrl-C.

    Else Prefect waits until its time is up, or starts it for ever. It may end where `home_fault` sees nothing: a newer database
    that is no file of SQLite, one that cannot be written.
    """
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415 (takes seconds)

    class Watched(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> "subprocess.Popen[bytes]":
            # Ctrl-C tells all that stands in a terminal's group: else those who ask it would say at length that it is gone.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process: subprocess.Popen[bytes] = super()._run_uvicorn_command()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            wait_until_it_listens(process, self.port or 0)
            return process

    Watched()  # Prefect finds it when it looks for its own


def wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait for a server; raises SafePairsError where it ends, and where it is not there in time."""
    until = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    while process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > until:
            process.kill()
            process.wait()
            raise SafePairsError(TOO_SLOW)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise SafePairsError(
        f"Prefect's temporary server ended as soon as it was started, what it said stands above; mend it, name another folder "
        f"than {PREFECT_HOME.value()} as PREFECT_HOME, or set PREFECT_API_URL to a server that runs"
    )


def start_server() -> None:
    """Have Prefect start its temporary server, where no other one is configured and it does not run yet.

    Raises:
        SafePairsError: it did not start, or the one that is configured does not answer or does not let this process in.
    """
    url = PREFECT_API_URL.value()
    if fault := proxies.fault() or (home_fault() if url is None else None):
        raise SafePairsError(fault)
    if url is not None and shown(url) != url:
        raise SafePairsError(
            f"PREFECT_API_URL {shown(url)}: a user, a password or a query is in it; take it out, and put user:password into "
            "PREFECT_API_AUTH_STRING"
        )
    if url is None:
        watch()
    try:
        with get_client(sync_client=True) as client:
            if client.hello().json() != OF_PREFECT:
                raise SafePairsError(no_api(url))
    except (RuntimeError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise SafePairsError(server_fault(error, url)) from None
    except ValueError:
        raise SafePairsError(FORBIDDEN if url is None else no_api(url)) from None


def home_fault() -> str | None:
    """What keeps the temporary server from its files, if anything does: it would end at once, and say why at length."""
    home = PREFECT_HOME.value()
    try:
        make_home(home)
        storage.probe(str(home))
    except OSError as error:
        return f"PREFECT_HOME {home}: cannot be written: {error.strerror}; set it to a folder that can"
    scheme, _, file = (PREFECT_API_DATABASE_CONNECTION_URL.value() or "").partition(":///")
    if not scheme.startswith("sqlite") or not Path(file).is_file():
        return None
    mend = "name another folder as PREFECT_HOME, or move it away, and runs of before with it"
    try:
        with closing(sqlite3.connect(f"{Path(file).absolute().as_uri()}?mode=ro", uri=True)) as database:
            states = [str(state) for (state,) in database.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.OperationalError as error:  # no such table yet, or another process is at work on it
        return None if "unable to open" not in str(error) else f"{file}: {error}; {mend}"
    except sqlite3.DatabaseError as error:
        return f"{file}: is no database of Prefect ({error}); {mend}"
    known = [path.name for path in MIGRATIONS.glob("*.py")]
    if all(any(state in name for name in known) for state in states):
        return None
    return f"{file}: is the database of another, newer Prefect than {prefect.__version__}; {mend}"


TOO_SLOW = (
    "Prefect's temporary server did not start in time; run again when the machine is less busy, with a larger "
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or with PREFECT_API_URL naming a server that runs"
)
FORBIDDEN = (
    "no Prefect server is named, and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE keeps a run from starting its own; set PREFECT_API_URL "
    "to a server that runs, or unset that variable"
)


def no_api(url: str | None) -> str:
    """What a user is told of a server that answers and is none of Prefect's."""
    return f"the Prefect server {shown(url or '')} answers as no API of Prefect does; end PREFECT_API_URL in /api, or mend its address"


def server_fault(error: Exception, url: str | None) -> str:
    """What a user is told of a server that cannot be used: of the one at `url`, or of the temporary one."""
    if url is None:
        return TOO_SLOW
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
    if status == httpx.codes.UNAUTHORIZED:
        return f"the Prefect server {shown(url)} asks for a login; set PREFECT_API_AUTH_STRING to its user:password"
    what = f"says {status}" if status else "does not answer"
    return f"the Prefect server {shown(url)} {what}; mend it, or set PREFECT_API_URL to another one, or to none"
