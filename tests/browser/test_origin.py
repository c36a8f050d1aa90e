"""What a page of another origin can do to the Prefect server of somebody who is logged in to it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.pages import browser_page, log_in
from tests.served import Site, ask

ATTACK = """
async ([api, deployment]) => {
    const start = `${api}/deployments/${deployment}/create_flow_run`;
    const json = {"Content-Type": "application/json"}, text = {"Content-Type": "text/plain"};
    const tries = {
        "read as it is": () => fetch(`${api}/deployments/filter`, {method: "POST", body: "{}", headers: text}),
        "read with what the browser knows": () => fetch(`${api}/block_documents/filter`,
            {method: "POST", body: "{}", headers: json, credentials: "include"}),
        "read without a body": () => fetch(`${api}/admin/settings`),
        "start as a form": () => fetch(start, {method: "POST", body: "{}", headers: text, mode: "no-cors"}),
        "start as JSON": () => fetch(start, {method: "POST", body: "{}", headers: json}),
        "start with a guess": () => fetch(start, {method: "POST", body: "{}", headers: {...json, Authorization: "Basic Og=="}}),
        "listen": () => new Promise((heard, closed) => {
            const socket = new WebSocket(`${api.replace("http", "ws")}/events/out`, "prefect");
            socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: ""}));
            socket.onmessage = event => heard({type: "message", text: () => event.data});
            socket.onclose = event => closed(new Error(`closed ${event.code}`));
        }),
    };
    const seen = {};
    for (const [name, attempt] of Object.entries(tries)) {
        try {
            const answer = await attempt();
            seen[name] = answer.type === "opaque" ? "opaque" : `${answer.status}: ${await answer.text()}`;
        } catch (error) {
            seen[name] = error.name;
        }
    }
    return seen;
}
"""


@contextmanager
def another_origin(folder: Path) -> Iterator[str]:
    """The address of an empty page on another port."""
    (folder / "index.html").write_text("<title>elsewhere</title>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_page_of_another_origin_reads_nothing_and_starts_nothing(site: Site, tmp_path: Path) -> None:
    (nightly,) = ask(site.api, "/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
    started = {"deployments": {"name": {"any_": ["nightly"]}}}
    before = ask(site.api, "/flow_runs/filter", **started)
    version = f"() => fetch('{site.api}/admin/version').then(answer => answer.status)"
    with browser_page() as page, another_origin(tmp_path) as foreign:
        log_in(page, site.address)
        own = page.evaluate(version)
        page.goto(foreign)
        assert page.title() == "elsewhere"
        seen = page.evaluate(ATTACK, [site.api, nightly["id"]])
    assert own == 401  # the browser itself sends no login along, whatever page asks
    assert seen.pop("start as a form") == "opaque"
    assert set(seen.values()) <= {"TypeError", "Error"}, seen
    assert len(ask(site.api, "/flow_runs/filter", **started)) == len(before)
