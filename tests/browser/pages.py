"""What browser tests share: a page of Chromium, what people do on the pages of a run, and pictures of them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Locator, Page, Response, TimeoutError, expect, sync_playwright

from tests.conftest import ROOT
from tests.served import BUSY, LOGIN
from tests.waiting import until

OUTPUT = ROOT / "tests/output"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS_TO_APPEAR = 60_000
PICTURES = 5

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
        yield page
        browser.close()


def open_page(page: Page, address: str, shown: Locator) -> None:
    """Open a page that is to show this, again while it does not: the UI asks once, and its server may be busy."""

    def seen() -> bool:
        with suppress(TimeoutError):
            page.goto(address)
            shown.wait_for()
        return shown.is_visible()

    until(seen, what=f"{address} is shown")


def log_in(page: Page, address: str) -> None:
    """Log in to the Prefect server at this address, which asks for it first."""
    heading = page.get_by_role("heading", name="Login")
    open_page(page, address, heading)
    page.locator("form input").fill(LOGIN)
    page.locator("form button").click()
    heading.wait_for(state="hidden")


def press(page: Page, path: str, steps: Callable[[], None]) -> Response:
    """Take the steps that end in such a request, again while the server is busy; what it answered."""
    answers: list[Response] = []

    def answered() -> bool:
        with suppress(TimeoutError):
            page.reload()
            with page.expect_response(lambda response: response.url.endswith(path)) as found:
                steps()
            answers.append(found.value)
        return bool(answers) and answers[-1].status not in BUSY

    until(answered, what=f"{path} is answered")
    return answers[-1]


def leave(page: Page) -> None:
    """Leave the page while nobody looks at it: to draw a run's graph as it grows takes a core of its own."""
    page.goto("about:blank")


def press_retry(page: Page) -> None:
    """Press `Retry` on the page of a run, and once more when asked whether it is meant."""

    def steps() -> None:
        page.get_by_role("banner").get_by_role("button", name="Retry").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()

    press(page, "/set_state", steps)


def fill_in(page: Page, decision: str, name: str, reason: str) -> str:
    """Press `Resume` on the page of a run, fill in the form and submit it; what the server makes of it."""

    def steps() -> None:
        page.get_by_role("banner").get_by_role("button", name="Resume").click()
        form = page.get_by_role("dialog")
        form.locator(".p-select-button__control").press("ArrowDown")  # a click without a hand opens and closes it
        page.locator(".p-select-option", has_text=decision).click()
        form.locator("textarea").nth(0).fill(name)
        form.locator("textarea").nth(1).fill(reason)
        save(page, f"approval_{decision}")
        form.get_by_role("button", name="Submit").click()

    answer = press(page, "/resume", steps)
    assert answer.ok, f"{answer.status} {answer.text()}"
    return str(answer.json()["status"])


def save(page: Page, name: str) -> None:
    """Save a picture, once two in a row are alike: a run's graph takes a while to be drawn, and some never stand still."""
    OUTPUT.mkdir(exist_ok=True)
    before = b""
    for _ in range(PICTURES):
        now = page.screenshot(path=OUTPUT / f"{name}.png")
        if now == before:
            return
        before = now
