"""The login of Prefect's temporary server, and what is said of a server that cannot be used."""

import base64
import errno
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect import context
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flows.running.server import MIGRATIONS, home_fault, lock_temporary_server, start_server
from tasks.errors import SafePairsError
from tests.disks import deny
from tests.ports import choose_ports


def answer(headers: Mapping[str, str]) -> tuple[int, str | None]:
    """What the server that tests share says to a request: its status, and which origin may read it."""
    request = urllib.request.Request(f"{PREFECT_API_URL.value()}/admin/version", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answered:  # noqa: S310
            return answered.status, answered.headers["Access-Control-Allow-Origin"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Access-Control-Allow-Origin"]


def test_the_temporary_server_of_a_run_answers_who_has_its_login_and_no_page_of_another_origin(
    prefect_server: None,
) -> None:
    token = base64.b64encode(PREFECT_API_AUTH_STRING.value().encode()).decode()
    for origin in ({}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}, {"Origin": "https://example.com"}):
        assert answer(origin) == (401, None)
        assert answer({"Authorization": f"Basic {token}", **origin}) == (200, None)


def follow(address: str, subprotocols: Sequence[Subprotocol]) -> None:
    """Follow what the server tells of its runs, without its login, until it has told something or refuses."""
    with connect(address, subprotocols=subprotocols) as socket:
        socket.send('{"type": "auth", "token": null}')
        while "auth_failure" in str(socket.recv(60)):
            pass


@pytest.mark.parametrize("subprotocols", [[], ["prefect"]], ids=["of a page", "of a client"])
def test_the_temporary_server_of_a_run_lets_nobody_follow_it_without_its_login(
    prefect_server: None, subprotocols: Sequence[Subprotocol]
) -> None:
    address = f"{PREFECT_API_URL.value()}/events/out".replace("http", "ws", 1)
    with pytest.raises(WebSocketException):
        follow(address, subprotocols)


@pytest.mark.parametrize(
    ("url", "asked", "given", "is_ours"),
    [
        (None, None, None, True),
        (None, "of:a shell", None, True),
        (None, None, "of:a shell", True),
        (None, "of:a server", "of:a client", True),
        (None, "of:both", "of:both", False),
        ("http://127.0.0.1:1/api", None, None, False),
        ("http://127.0.0.1:1/api", None, "of:a server", False),
        ("http://127.0.0.1:1/api", "of:a shell", "of:a server", False),
    ],
)
def test_a_login_is_made_for_a_temporary_server_and_for_no_other_one(
    monkeypatch: pytest.MonkeyPatch, url: str | None, asked: str | None, given: str | None, is_ours: bool
) -> None:
    values = {PREFECT_API_URL: url, PREFECT_SERVER_API_AUTH_STRING: asked, PREFECT_API_AUTH_STRING: given}
    with temporary_settings(values) as settings:
        profile = context.GLOBAL_SETTINGS_CONTEXT.profile
        monkeypatch.setattr(
            context, "GLOBAL_SETTINGS_CONTEXT", context.SettingsContext(profile=profile, settings=settings)
        )
    made = []
    for _ in range(2):
        lock_temporary_server()
        now = context.GLOBAL_SETTINGS_CONTEXT.settings
        logins = [auth and auth.get_secret_value() for auth in (now.server.api.auth_string, now.api.auth_string)]
        made.append(logins)
    assert made[0] == made[1]
    assert (made[0] != [asked, given]) == is_ours
    if is_ours:
        assert made[0][0] == made[0][1]
        assert not {asked, given, None} & set(made[0])


@contextmanager
def says(status: int, body: bytes = b"") -> Iterator[str]:
    """The address of a server that says this to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "said"), [(401, "set PREFECT_API_AUTH_STRING"), (404, "says 404; mend it")])
def test_a_server_that_cannot_be_used_is_one_line(status: int, said: str) -> None:
    with (
        says(status) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(SafePairsError, match=f"^the Prefect server http://127.* {said}"),
    ):
        start_server()


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b"{}"])
def test_a_server_that_is_none_of_prefects_is_one_line(body: bytes) -> None:
    with (
        says(200, body) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(SafePairsError, match=r"answers as no API of Prefect does; end PREFECT_API_URL in /api"),
    ):
        start_server()


@pytest.mark.parametrize("address", ["me:secret@127.0.0.1:1/api", "secret@127.0.0.1:1/api", "127.0.0.1:1/api?a=secret"])
def test_a_credential_in_the_servers_address_is_refused_since_prefect_would_log_it(address: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: f"http://{address}"}),
        pytest.raises(
            SafePairsError, match=r"^PREFECT_API_URL http://127.0.0.1:1/api: .* PREFECT_API_AUTH_STRING"
        ) as raised,
    ):
        start_server()
    assert "secret" not in str(raised.value)


def test_what_is_no_address_of_a_server_is_one_line() -> None:
    with temporary_settings({PREFECT_API_URL: "127.0.0.1:4200/api"}), pytest.raises(SafePairsError, match="mend it"):
        start_server()


def test_where_no_server_is_named_and_none_may_be_started_that_is_one_line() -> None:
    values = {PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_ENABLED: False}
    with (
        temporary_settings(updates=values),
        pytest.raises(SafePairsError, match=r"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE .*unset that variable"),
    ):
        start_server()


def test_a_temporary_server_that_ends_at_once_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def ends(self: SubprocessASGIServer) -> "subprocess.Popen[bytes]":
        started.append(self.port)
        return subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])

    started: list[int | None] = []
    monkeypatch.setattr(SubprocessASGIServer, "_instances", {})
    monkeypatch.setattr(SubprocessASGIServer, "_run_uvicorn_command", ends)
    values = {PREFECT_HOME: tmp_path, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 10_000}
    with (
        temporary_settings(values, restore_defaults={PREFECT_API_URL}),
        pytest.raises(SafePairsError, match="ended as soon as it was started"),
    ):
        start_server()
    assert len(started) == 1


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    database = f"sqlite+aiosqlite:///{home}/prefect.db"
    with temporary_settings({PREFECT_HOME: home, PREFECT_API_DATABASE_CONNECTION_URL: database}):
        yield


def test_a_home_that_cannot_be_made_or_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file/below"):
        with at_home(home):
            assert str(home_fault()).startswith(f"PREFECT_HOME {home}: cannot be written: ")
    with at_home(tmp_path / "new"):
        assert home_fault() is None
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        deny(monkeypatch, "os.replace", errno.EROFS)
        assert "Read-only" in str(home_fault())


KNOWN = next(path.name.split("_")[4] for path in MIGRATIONS.glob("*.py"))


@pytest.mark.parametrize(
    ("state", "said"),
    [(KNOWN, None), ("0123456789ff", "is the database of another, newer Prefect than "), (None, None)],
)
def test_a_database_of_a_newer_prefect_is_one_line(tmp_path: Path, state: str | None, said: str | None) -> None:
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)" if state else "CREATE TABLE other (id TEXT)")
        if state:
            database.execute("INSERT INTO alembic_version VALUES (?)", [state])
        database.commit()
    with at_home(tmp_path):
        found = home_fault()
    assert (said or "") in (found or "")
    assert (found is None) == (said is None)


def test_what_is_no_database_of_prefect_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_bytes(b"no database" * 100)
    with at_home(tmp_path):
        assert f"{tmp_path}/prefect.db: is no database of Prefect" in str(home_fault())


def test_a_server_that_does_not_answer_is_one_line() -> None:
    (port,) = choose_ports(1)
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        pytest.raises(SafePairsError, match=f"^the Prefect server http://127.0.0.1:{port}/api does not answer; "),
    ):
        start_server()
