from pathlib import Path

from playwright.sync_api import Page

from tests.browser.pages import browser_page, save, wait_for_state
from tests.browser.test_approval import manifest, write_approval
from tests.flows.test_serve import ask, read_until, served

SCRIPT = "<img src=x onerror=\"document.title='struck'\"> Where is **zeppelin** {}?"


def fill_in(page: Page, decision: str, name: str, reason: str) -> None:
    """Press `Resume`, fill in the form and submit it."""
    page.get_by_role("banner").get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.locator(".p-select-button__control").press("ArrowDown")  # a click without a hand opens and closes it
    page.locator(".p-select-option", has_text=decision).click()
    form.locator("textarea").nth(0).fill(name)
    form.locator("textarea").nth(1).fill(reason)
    save(page, f"approval_{decision}")
    form.get_by_role("button", name="Submit").click()


def test_a_release_is_approved_in_the_prefect_ui(tmp_path: Path) -> None:
    config = write_approval(tmp_path, [SCRIPT.format(number) for number in range(12)], samples=2)
    called: list[str] = []
    with browser_page() as page, served(tmp_path, config) as (site, said):
        (nightly,) = ask(f"{site}/api", "/deployments/filter")
        run = ask(f"{site}/api", f"/deployments/{nightly['id']}/create_flow_run")
        read_until(said, "Flow run", run["name"], "Finished in state")
        artifacts = ask(f"{site}/api", "/artifacts/filter", artifacts={"key": {"any_": ["approval"]}})

        page.on("request", lambda request: called.append(request.url))
        page.goto(f"{site}/artifacts/artifact/{artifacts[0]['id']}")
        page.get_by_text("Rows, beside no release before").wait_for()
        save(page, "approval_artifact")
        assert all("<img src=x onerror=" in text for text in page.locator("pre").all_inner_texts()[-2:])
        assert page.locator("img, strong").get_by_text("zeppelin").count() == 0
        page.locator("pre").last.scroll_into_view_if_needed()
        save(page, "approval_samples")
        assert "struck" not in page.title()

        page.goto(f"{site}/runs/flow-run/{run['id']}")
        wait_for_state(page, "Suspended")
        save(page, "approval_suspended")
        fill_in(page, "reject", "Grace Hopper", "")
        page.wait_for_timeout(1500)
        save(page, "approval_refused")
        assert not list(tmp_path.rglob("latest.json"))

        page.reload()
        fill_in(page, "approve", "Grace Hopper", "agreement is as before")
        read_until(said, "Flow run", run["name"], "Finished in state")
        page.reload()
        wait_for_state(page, "Completed")
        save(page, "approval_completed")
    assert {url for url in called if not url.startswith((f"{site}/", "data:", "blob:"))} == set()
    approval = manifest(tmp_path)["approval"]
    assert (approval["name"], approval["reason"]) == ("Grace Hopper", "agreement is as before")
