"""What browser tests share: a page of Chromium, what people do on the pages of a run, and pictures of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import APIResponse, Page, Route, expect, sync_playwright

from tests.conftest import ROOT
from tests.served import BUSY, LOGIN, SECONDS_OF_PATIENCE
from tests.waiting import Late, until

OUTPUT = ROOT / "tests/output"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS_TO_APPEAR = 60_000
PICTURES = 20

expect.set_options(timeout=MILLISECONDS_TO_APPEAR)


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a headless browser that can reach this machine only."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"no browser: install one of {', '.join(BROWSERS)} (on Debian, the package chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        )
        page = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce").new_page()
        page.set_default_timeout(MILLISECONDS_TO_APPEAR)
        page.route("**/api/**", ask_again)
        yield page
        page.unroute_all(behavior="ignoreErrors")
        browser.close()


def ask_again(route: Route) -> None:
    """Ask a server of Prefect again while its database is busy, as its own client does and its UI does not."""
    said: list[APIResponse] = []

    def answered() -> bool:
        said.append(route.fetch())
        return said[-1].status not in BUSY

    with suppress(Late):
        until(answered, SECONDS_OF_PATIENCE)
    route.fulfill(response=said[-1])


def log_in(page: Page, address: str) -> None:
    """Log in to the Prefect server at this address, which asks for it first."""
    page.goto(address)
    page.get_by_role("heading", name="Login").wait_for()
    page.locator("form input").fill(LOGIN)
    page.locator("form button").click()
    page.get_by_role("heading", name="Login").wait_for(state="hidden")


def wait_for_state(page: Page, state: str) -> None:
    """Wait until the page of a run says that it is in this state."""
    expect(page.get_by_role("banner").get_by_text(state, exact=True)).to_be_visible()


def press_retry(page: Page) -> None:
    """Press `Retry` on the page of a run, and once more when asked whether it is meant."""
    page.get_by_role("banner").get_by_role("button", name="Retry").click()
    with page.expect_response(lambda response: response.url.endswith("/set_state")):
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()


def fill_in(page: Page, decision: str, name: str, reason: str) -> str:
    """Press `Resume` on the page of a run, fill in the form and submit it; what the server makes of it."""
    page.get_by_role("banner").get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.locator(".p-select-button__control").press("ArrowDown")  # a click without a hand opens and closes it
    page.locator(".p-select-option", has_text=decision).click()
    form.locator("textarea").nth(0).fill(name)
    form.locator("textarea").nth(1).fill(reason)
    save(page, f"approval_{decision}")
    with page.expect_response(lambda response: response.url.endswith("/resume")) as answered:
        form.get_by_role("button", name="Submit").click()
    assert answered.value.ok, f"{answered.value.status} {answered.value.text()}"
    return str(answered.value.json()["status"])


def save(page: Page, name: str) -> None:
    """Save a picture, once two in a row are alike: a run's graph takes a while to be drawn, and some never stand still."""
    OUTPUT.mkdir(exist_ok=True)
    before = b""
    for _ in range(PICTURES):
        now = page.screenshot(path=OUTPUT / f"{name}.png")
        if now == before:
            return
        before = now
