from pathlib import Path
from typing import Any

from tests.browser.pages import browser_page, save, wait_for_state
from tests.conftest import asked, write_config
from tests.flows.test_kill import BLOCK_ROWS, committed
from tests.flows.test_serve import ask, read_until, served

PROMPTS = 30
REQUESTS = 3 * PROMPTS  # of each of the two responders: an answer and two samples more


def write_faulty_config(folder: Path, fault: Path) -> Path:
    """While `fault` stands, the second responder fails after eight blocks."""
    config = write_config(folder, [f"How do I plant {i} tulips?" for i in range(PROMPTS)])
    fault.write_text(str(8 * BLOCK_ROWS))
    head, second = config.read_text().split('name = "scripted-b"')
    faulty = second.replace(" }", f', seconds_per_row = 0.2, fault = "{fault}" }}', 1)
    config.write_text(f'{head}name = "scripted-b"{faulty}')
    return config


def states(task_runs: list[dict[str, Any]], attempt: int) -> dict[str, str]:
    """The state of each task in one attempt at the run, by the task's name without what tells its attempts apart."""
    return {
        run["name"].removesuffix(f"-{run['dynamic_key'][:3]}"): run["state_name"]
        for run in task_runs
        if run["flow_run_run_count"] == attempt
    }


def test_a_failed_run_goes_on_where_it_was_when_retry_is_pressed(tmp_path: Path) -> None:
    fault = tmp_path / "fault"
    config = write_faulty_config(tmp_path, fault)
    called: list[str] = []
    with browser_page() as page, served(tmp_path, config) as (site, said):
        (nightly,) = ask(f"{site}/api", "/deployments/filter")
        run = ask(f"{site}/api", f"/deployments/{nightly['id']}/create_flow_run")
        read_until(said, "Flow run", run["name"], "Finished in state")
        first, kept = asked(tmp_path), committed(tmp_path)
        assert not list(tmp_path.rglob("latest.json"))
        fault.unlink()

        page.on("request", lambda request: called.append(request.url))
        page.goto(f"{site}/runs/flow-run/{run['id']}")
        wait_for_state(page, "Failed")
        save(page, "run_failed")
        page.get_by_role("banner").get_by_role("button", name="Retry").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        read_until(said, "Flow run", run["name"], "Finished in state")
        page.reload()  # the page counts its task runs only when it is opened
        wait_for_state(page, "Completed")
        save(page, "run_completed")
        task_runs = ask(f"{site}/api", "/task_runs/filter")
    assert {url for url in called if not url.startswith((f"{site}/", "data:", "blob:"))} == set()

    second = asked(tmp_path)[len(first) :]
    assert REQUESTS + BLOCK_ROWS <= len(kept) < 2 * REQUESTS
    assert set(second).isdisjoint(kept)
    assert len(second) == len(set(second))
    assert set(first) & set(second) == set(first) - set(kept)
    assert len(set(first) - set(kept)) <= 2 * BLOCK_ROWS
    assert sorted(committed(tmp_path)) == sorted(set(first) | set(second))

    before, after = states(task_runs, 1), states(task_runs, 2)
    assert before.pop("prompts_to_responses-scripted-b") == "Failed"
    assert before == {"sources_to_prompts": "Completed", "prompts_to_responses-scripted-a": "Completed"}
    assert {after.pop(finished) for finished in before} == {"Cached"}
    assert set(after.values()) == {"Completed"}
    assert (tmp_path / "storage/releases/latest.json").is_file()
