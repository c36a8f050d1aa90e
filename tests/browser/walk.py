"""One walk through the Prefect UI: a run fails, is retried, asks for approval, is refused an answer, and is approved.

In: the served site, whose deployment runs `write_walk`'s configuration. Out: what was seen on the way, as a `Walk`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from infra import lock
from tests.browser.pages import browser_page, fill_in, leave, log_in, open_page, press_retry, save
from tests.conftest import asked, write_config
from tests.flows.test_kill import committed
from tests.served import Site
from tests.waiting import until

SCRIPT = "<img src=x onerror=\"document.title='struck'\"> Where is {} **zeppelin**?"
PROMPTS = 12
REQUESTS = 3 * PROMPTS
"""Of each of the two responders: an answer and two samples more."""
BLOCK_ROWS = 8
BLOCKS_BEFORE_THE_FAULT = 2


@dataclass
class Seen:
    """How the run stood when an execution of it had ended: its state, requests made, requests answered, releases."""

    state: str
    said: str
    asked: list[str]
    kept: list[str]
    releases: list[dict[str, Any]]


@dataclass
class Walk:
    """What was seen on the walk, in its order."""

    run: dict[str, Any]
    failed: Seen
    had_cluster: bool
    suspended: Seen
    free: bool
    samples: list[str]
    unescaped: int
    title: str
    refused: str
    after_refusal: Seen
    approved: str
    completed: Seen
    called: set[str]


def write_walk(folder: Path) -> Path:
    """While the file `fault` stands, the second responder fails after two blocks; a release needs approval."""
    config = write_config(folder, [SCRIPT.format(number) for number in range(PROMPTS)])
    fault = folder / "fault"
    fault.write_text(str(BLOCKS_BEFORE_THE_FAULT * BLOCK_ROWS))
    head, second = config.read_text().split('name = "scripted-b"')
    faulty = second.replace(" }", f', fault = "{fault}" }}', 1)
    config.write_text(f'{head}name = "scripted-b"{faulty}\n[approval]\nsamples = 2\n')
    return config


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The manifest that `latest.json` points at, if there is one; no other one may be there."""
    releases = folder / "storage/releases"
    found = sorted(releases.glob("*/manifest.json"))
    pointer = releases / "latest.json"
    latest = [releases / json.loads(pointer.read_text())["version"] / "manifest.json"] if pointer.exists() else []
    assert found == latest
    return [json.loads(manifest.read_text()) for manifest in found]


def walk(site: Site) -> Walk:
    """Walk through the UI, with the pipeline as a whole behind it."""
    folder = site.home.parent
    called: set[str] = set()

    def look(run: dict[str, Any]) -> Seen:
        state = site.now(run)["state"]
        return Seen(state["name"], state["message"] or "", asked(folder), sorted(committed(folder)), manifests(folder))

    with browser_page() as page:
        page.on("request", lambda request: called.add(request.url))
        run = site.create()
        had_cluster = has_cluster(site, run)
        site.read(run)
        failed = look(run)

        (folder / "fault").unlink()
        log_in(page, site.address)
        open_run(page, site, run, "Failed")
        press_retry(page)
        leave(page)
        site.read(run)
        suspended = look(run)
        free = holds_nothing(site, folder)
        samples, unescaped, title = look_at_artifact(page, site, run)

        open_run(page, site, run, "Suspended")
        refused = fill_in(page, "reject", "Grace Hopper", "")
        save(page, "approval_refused")
        after_refusal = look(run)
        approved = fill_in(page, "approve", "Grace Hopper", "agreement is as before")
        leave(page)
        site.read(run)
        completed = look(run)
        open_run(page, site, run, "Completed")
    outside = {url for url in called if not url.startswith((f"{site.address}/", "data:", "blob:", "about:"))}
    return Walk(
        run=run,
        failed=failed,
        had_cluster=had_cluster,
        suspended=suspended,
        free=free,
        samples=samples,
        unescaped=unescaped,
        title=title,
        refused=refused,
        after_refusal=after_refusal,
        approved=approved,
        completed=completed,
        called=outside,
    )


def has_cluster(site: Site, run: dict[str, Any]) -> bool:
    """Whether a Ray cluster is seen at some time while the run is at work."""
    seen: list[object] = []

    def looked() -> bool:
        seen.extend(site.raylets())
        return bool(seen) or site.printed(run["name"], "Finished in state") > 0

    until(looked, what="the run has a cluster")
    return bool(seen)


def holds_nothing(site: Site, folder: Path) -> bool:
    """Whether a run that is suspended leaves no Ray cluster behind, and the storage to others."""
    try:
        with lock.exclusive(str(folder / "storage")):
            return not site.raylets()
    except lock.Held:
        return False


def open_run(page: Page, site: Site, run: dict[str, Any], state: str) -> None:
    """Open the page of the run, which must come to say that it is in this state."""
    banner = page.get_by_role("banner").get_by_text(state, exact=True)
    open_page(page, f"{site.address}/runs/flow-run/{run['id']}", banner)
    save(page, f"run_{state.lower()}")


def look_at_artifact(page: Page, site: Site, run: dict[str, Any]) -> tuple[list[str], int, str]:
    """What the page of the approval shows as samples, how much of them as more than text, and its title."""
    (artifact,) = [artifact for artifact in site.artifacts(run) if artifact["key"] == "approval"]
    heading = page.get_by_text("Rows, beside no release before")
    open_page(page, f"{site.address}/artifacts/artifact/{artifact['id']}", heading)
    save(page, "approval_artifact")
    samples = page.locator("pre").all_inner_texts()[-2:]
    unescaped = page.locator("img, strong").get_by_text("zeppelin").count()
    page.locator("pre").last.scroll_into_view_if_needed()
    save(page, "approval_samples")
    return samples, unescaped, page.title()
