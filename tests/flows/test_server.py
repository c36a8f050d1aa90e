"""The login of Prefect's temporary server, and what is said of a server that cannot be used."""

import base64
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import context
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flows.running.server import lock_temporary_server, start_server
from tasks.errors import SafePairsError
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
def says(status: int) -> Iterator[str]:
    """The address of a server that says this to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "said"), [(401, "set PREFECT_API_AUTH_STRING"), (404, "says 404; mend it")])
def test_a_server_that_cannot_be_used_is_one_line(status: int, said: str) -> None:
    with (
        says(status) as url,
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(SafePairsError, match=f"^the Prefect server http://127.* {said}") as raised,
    ):
        start_server()
    assert "secret" not in str(raised.value)


def test_a_server_that_does_not_answer_is_one_line() -> None:
    (port,) = choose_ports(1)
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        pytest.raises(SafePairsError, match=f"^the Prefect server http://127.0.0.1:{port}/api does not answer; "),
    ):
        start_server()
