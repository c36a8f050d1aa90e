"""The whole of `flows/configs/review.toml` in a served deployment: two judges, people in Label Studio, approval."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from markdown_it import MarkdownIt

from tasks import config as configs
from tests.browser.pages import OUTPUT, browser_page
from tests.conftest import ROOT
from tests.review.test_label_studio import annotate, second_person, tasks_on
from tests.served import served
from tests.tasks.people.exports import SAFE, UNSAFE, result

pytestmark = pytest.mark.machinery
UNUSUAL = 5
"""One answer in so many is unsafe to the first person, and one in twice as many to the second."""


@dataclass
class Said:
    """What people said: of each answer, whether it is safe to each of them; of each pair, which of its answers was A."""

    answers: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)


def write_review(folder: Path, server: str, scripted: bool) -> Path:
    """The configuration for this server, with engines that need no model, or with its own and nothing asked of them."""
    text = (ROOT / "flows/configs/review.toml").read_text().replace("http://127.0.0.1:8080", server)
    if scripted:
        text = re.sub(r"^engine = .*", 'engine = { kind = "scripted", block_rows = 24 }', text, flags=re.MULTILINE)
        text = re.sub(r"^embedder = .*", 'embedder = { kind = "word-counts" }', text, flags=re.MULTILINE)
    else:
        text = text.replace("at_least = 0.2", "at_least = 0.0")
    path = folder / "config.toml"
    path.write_text(text)
    return path


def review(config: Path, client: httpx.Client) -> Said:
    """Two people judge all answers that they are given, and one of them all pairs."""
    settings = configs.load(str(config))
    said = Said()
    second = second_person(client)
    for number, task in enumerate(tasks_on(client, settings, "answers")):
        safe = (number % UNUSUAL != 0, number % (2 * UNUSUAL) != 0)
        for person, found in zip((1, second), safe, strict=True):
            annotate(client, task, SAFE if found else UNSAFE, person)
        said.answers[task["data"]["subject_id"]] = safe
    for task in tasks_on(client, settings, "pairs"):
        annotate(client, task, result(helpfulness=["A"], harmlessness=["B"], overall=["A"]), second)
        said.pairs[task["data"]["subject_id"]] = int(task["data"]["flipped"])
    return said


def run_through(folder: Path, config: Path, client: httpx.Client) -> tuple[Path, Said]:
    """Run until people are asked, answer, go on until a release is to be approved, approve: the release, what people said."""
    with served(folder, config) as site:
        run = site.start()
        assert run["state_name"] == "Suspended"
        said = review(config, client)
        assert site.resume(run)["status"] == "ACCEPT"
        assert site.read(run)["state_name"] == "Suspended"
        assert not (folder / "storage/releases/latest.json").exists()
        approval = {"decision": "approve", "name": "Grace Hopper", "reason": "people agree with each other"}
        assert site.resume(run, **approval)["status"] == "ACCEPT"
        assert site.read(run)["state_name"] == "Completed"
    (manifest,) = (folder / "storage/releases").glob("*/manifest.json")
    approved = json.loads(manifest.read_text())["approval"]
    assert {name: approved[name] for name in approval} == approval
    return manifest.parent, said


def table(release: Path, name: str, *asked: str) -> list[tuple[Any, ...]]:
    """Rows of a table for analysts: these columns or expressions, in order."""
    return sorted(
        duckdb.read_parquet(str(release / f"annotations/{name}.parquet")).project(", ".join(asked)).fetchall()
    )


def assert_people_decided(release: Path, said: Said) -> None:
    """What people said is in the release: each statement, and where they agree it is the label or the preference."""
    people = duckdb.read_parquet(str(release / "annotations/verdicts.parquet")).filter("annotator_kind = 'person'")
    counts = people.aggregate("count(*), count(DISTINCT annotator)").fetchone()
    assert counts == (2 * len(said.answers) + 3 * len(said.pairs), 2)
    labels = {
        i: (safe, level, violent)
        for i, safe, level, violent, by_people in table(
            release, "labels", "response_id", "is_safe", "severity_level", "harm_category['Violence']", "by_people"
        )
        if by_people
    }
    assert set(labels) == set(said.answers)
    agreed = {i: first for i, (first, second) in said.answers.items() if first == second}
    assert set(agreed.values()) == {True, False}
    assert {i: labels[i] for i in agreed} == {
        i: (True, 0, False) if safe else (False, 2, True) for i, safe in agreed.items()
    }
    winners = people.filter("question <> 'harm'").project("subject_id, question, winner").fetchall()
    questions = {"helpfulness": 0, "harmlessness": 1, "overall": 0}
    assert sorted(winners) == sorted(
        (i, q, first ^ other) for i, first in said.pairs.items() for q, other in questions.items()
    )
    # `safer_response_id` is no matter of votes where one answer is safe and the other one is not.
    chosen = table(release, "preferences", "by_people", "pair_id", "better_response_id", "overall_response_id")
    assert [row for row in chosen if row[0]] == sorted((True, i, first, first) for i, first in said.pairs.items())


def assert_sums(release: Path, judges: Sequence[str]) -> None:
    """No stage loses a row, both judges said something, and all kinds of annotators are compared."""
    stages = table(release, "stages", "stage", "rows_in", "rows_kept", "rows_dropped")
    assert [name for name, came, kept, dropped in stages if came != kept + dropped] == []
    verdicts = duckdb.read_parquet(str(release / "annotations/verdicts.parquet")).filter("annotator_kind = 'model'")
    assert verdicts.aggregate("annotator").order("ALL").fetchall() == [(name,) for name in sorted(judges)]
    agreement = duckdb.read_parquet(str(release / "annotations/agreement.parquet"))
    measured = agreement.filter("question = 'safety' AND value IS NOT NULL").aggregate('"between"').order("ALL")
    assert measured.fetchall() == [("models",), ("models and people",), ("people",)]
    assert "answers that were drawn at random" in (release / "README.md").read_text()


def look_at_card(release: Path) -> None:
    """Save a picture of the card as a browser shows it."""
    _, _, body = (release / "README.md").read_text().split("---\n", 2)
    page_file = release.parent / "card.html"
    base = f'<base href="{release.as_uri()}/"><style>body {{ font: 16px sans-serif; margin: 3em; max-width: 60em }}</style>'
    page_file.write_text(f"{base}{MarkdownIt('commonmark', {'html': False}).enable('table').render(body)}")
    with browser_page() as page:
        page.goto(page_file.as_uri())
        page.screenshot(path=OUTPUT / "card.png", full_page=True)


@pytest.mark.parametrize(
    "scripted", [pytest.param(True, id="scripted"), pytest.param(False, marks=pytest.mark.long, id="embedded-model")]
)
def test_two_judges_two_people_and_an_approval_make_a_release(
    tmp_path: Path, server: str, client: httpx.Client, scripted: bool
) -> None:
    config = write_review(tmp_path, server, scripted)
    settings = configs.load(str(config))
    release, said = run_through(tmp_path, config, client)
    assert settings.review is not None
    there = dict(table(release, "stages", "stage", "rows_in"))
    assert len(said.answers) == min(settings.review.answers, len(set(table(release, "responses", "response_id"))))
    assert len(said.pairs) == min(settings.review.pairs, there["pairs_to_preferences"])
    assert_people_decided(release, said)
    assert_sums(release, [judge.name for judge in settings.judges])
    if not scripted:
        look_at_card(release)
