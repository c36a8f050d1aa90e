"""Whatever a server answers that calls itself Label Studio, it is taken for what it is or told in one line."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra import label_studio
from infra.label_studio import LabelStudioError, add_tasks, ensure_project, export, projects
from tests.examples import examples


class Server:
    """Gives the same reply to everything, or by method."""

    body, status, url = b"", 200, ""
    refused: tuple[str, ...] = ()


@contextmanager
def answering() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body, status = (b"{}", 401) if self.command in found.refused else (found.body, found.status)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET  # noqa: N815 (names of the library)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with answering() as found:
        yield found


CALLS: tuple[Callable[[httpx.Client], object], ...] = (
    projects,
    lambda client: ensure_project(client, "t", "<View/>", 1, False, []),
    lambda client: add_tasks(client, 1, [{"data": {"subject_id": "a"}}], "subject_id"),
    lambda client: export(client, 1),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["results", "count", "tasks", "total", "id", "title", "data"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
ODD: tuple[bytes, ...] = (
    *(b"", b"null", b"[]", b"{}", b"3", b'"x"', b"<html>", b"\xff", b"[" * 9000, b'{"results": null, "count": 1}'),
    *(b'{"results": [{"id": "1", "title": null}], "count": 1}', b'{"results": [3], "count": "many"}'),
    *(b'{"tasks": [{"data": 3}], "total": 1}', b'{"tasks": {}, "total": 0}', b"[1, 2]", b'{"id": [1]}'),
)


def refusal(call: Callable[[httpx.Client], object], client: httpx.Client) -> str | None:
    try:
        call(client)
    except LabelStudioError as error:
        return str(error)
    return None


@examples(60)
@given(
    body=st.one_of(st.sampled_from(ODD), JSON.map(lambda value: json.dumps(value).encode())),
    status=st.sampled_from([200, 201, 302, 500]),
)
@example(body=b"", status=204)
def test_an_odd_reply_is_one_line_that_names_the_server(server: Server, body: bytes, status: int) -> None:
    server.body, server.status = b"" if status == 204 else body, status
    with label_studio.connect(server.url, "key") as client:
        for call in CALLS:
            said = refusal(call, client)
            assert said is None or said.startswith(f"Label Studio at {server.url}: ")
            assert "\n" not in (said or "")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"access": 3}', b'{"access": "a\\nb"}', b'{"access": "\xc3\xa9"}', b"{"]
)
def test_an_odd_reply_to_a_personal_token_is_a_refused_key(body: bytes) -> None:
    with answering() as server, label_studio.connect(server.url, "a.b.c") as client:
        server.body, server.refused = body, ("GET",)
        with pytest.raises(LabelStudioError, match="refuses the key"):
            projects(client)


def test_a_server_that_gives_one_page_for_ever_is_left(server: Server) -> None:
    server.body, server.status = b'{"results": [{"id": 1, "title": "t"}], "count": 9}', 200
    with label_studio.connect(server.url, "key") as client, pytest.raises(LabelStudioError, match="again and again"):
        projects(client)
