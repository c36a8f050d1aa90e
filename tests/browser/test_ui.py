import pytest

from tests.browser.walk import BLOCK_ROWS, REQUESTS, Walk, walk
from tests.served import Site, ask
from tests.waiting import becomes, until

FAILED = {
    "sources_to_prompts": "Completed",
    "prompts_to_responses-scripted-a": "Completed",
    "prompts_to_responses-scripted-b": "Failed",
}
RETRIED = {
    "sources_to_prompts": "Cached",
    "prompts_to_responses-scripted-a": "Cached",
    "prompts_to_responses-scripted-b": "Completed",
    "diversify": "Completed",
    "people_to_labels": "Completed",
    "responses_to_labels": "Completed",
    "labels_to_pairs": "Completed",
    "people_to_preferences": "Completed",
    "pairs_to_preferences": "Completed",
    "preferences_to_review": "Completed",
    "preferences_to_candidate": "Completed",
}
ANEW = {"people_to_labels", "people_to_preferences"}
"""What each execution of a run does: people go on while it waits."""
APPROVED = {name: "Completed" if name in ANEW else "Cached" for name in RETRIED} | {"candidate_to_release": "Completed"}


@pytest.fixture(scope="module")
def walked(site: Site) -> Walk:
    return walk(site)


def tasks(site: Site, walked: Walk, execution: int) -> list[tuple[str, str]]:
    """The name of each task in one execution of the run, without what tells its attempts apart, and its state."""
    return sorted(
        (task["name"].removesuffix(f"-{task['dynamic_key'][:3]}"), task["state_name"])
        for task in site.tasks(walked.run)
        if task["flow_run_run_count"] == execution
    )


def test_the_deployment_has_the_schedule_that_it_is_given(site: Site) -> None:
    named = {"name": {"any_": ["nightly"]}}
    (nightly,) = ask(site.api, "/deployments/filter", deployments=named)
    assert [entry["schedule"]["cron"] for entry in nightly["schedules"]] == [site.cron]


def test_a_failed_run_goes_on_where_it_was_when_retry_is_pressed(site: Site, walked: Walk) -> None:
    first, kept = walked.failed.asked, walked.failed.kept
    assert walked.failed.state == "Failed"
    assert "injected fault" in walked.failed.said
    assert REQUESTS + BLOCK_ROWS <= len(kept) < 2 * REQUESTS
    assert len(set(first) - set(kept)) <= 2 * BLOCK_ROWS

    assert walked.suspended.asked[: len(first)] == first
    second = walked.suspended.asked[len(first) :]
    assert set(second).isdisjoint(kept)
    assert len(second) == len(set(second)) > 0
    assert set(first) & set(second) == set(first) - set(kept)
    assert walked.suspended.kept == sorted(set(first) | set(second))

    becomes(sorted(FAILED.items()), lambda: tasks(site, walked, 1))


def test_a_run_that_asks_for_approval_is_suspended_until_a_complete_answer(walked: Walk) -> None:
    assert walked.suspended.state == "Suspended"
    assert walked.refused == "REJECT"
    assert walked.after_refusal == walked.suspended
    assert walked.approved == "ACCEPT"
    assert walked.completed.state == "Completed"


def test_a_suspended_run_keeps_no_cluster_and_leaves_the_storage_to_others(walked: Walk) -> None:
    assert walked.had_cluster
    assert walked.free


def test_nothing_is_published_before_the_approval_which_is_in_the_manifest(walked: Walk) -> None:
    assert walked.failed.releases == walked.suspended.releases == walked.after_refusal.releases == []
    (manifest,) = walked.completed.releases
    assert (manifest["approval"]["name"], manifest["approval"]["reason"]) == ("Grace Hopper", "agreement is as before")


def test_a_run_that_goes_on_after_an_approval_does_nothing_again(site: Site, walked: Walk) -> None:
    assert walked.completed.asked == walked.suspended.asked
    assert walked.completed.kept == walked.suspended.kept
    # To Prefect what follows an approval is a part of the execution that asked for it.
    becomes(sorted([*RETRIED.items(), *APPROVED.items()]), lambda: tasks(site, walked, 2))


def test_samples_are_shown_as_text(walked: Walk) -> None:
    assert len(walked.samples) == 2
    assert all("<img src=x onerror=" in text for text in walked.samples)
    assert walked.unescaped == 0
    assert "struck" not in walked.title


def test_the_ui_calls_no_outside_host(walked: Walk) -> None:
    assert walked.called == set()


def test_a_run_leaves_a_report_of_each_stage_its_progress_and_its_log(site: Site, walked: Walk) -> None:
    keys = {artifact["key"] for artifact in site.artifacts(walked.run)}
    stages = {"sources-to-prompts", "prompts-to-responses", "responses-to-labels", "pairs-to-preferences"}
    assert stages | {"gate", "approval", "release"} <= keys
    assert {"progress-responses-by-scripted-a", "progress-labels-by-judge"} <= keys
    until(lambda: "tasks.work.store" in {log["name"] for log in site.logs(walked.run)}, what="its log has come")
