"""The whole of `flows/configs/review.toml` for real: two judges, people in Label Studio, approval in the Prefect UI."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from markdown_it import MarkdownIt

from infra import label_studio
from tasks import config as configs
from tests.browser.pages import OUTPUT, browser_page, fill_in, save, wait_for_state
from tests.conftest import ROOT
from tests.review.label_studio_server import KEY, label_studio_server
from tests.review.test_label_studio import annotate, second_person, tasks_on
from tests.served import served
from tests.tasks.people.exports import SAFE, UNSAFE, result

UNUSUAL = 5
"""One answer in so many is unsafe to the first person, and one in twice as many to the second."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    folder = tmp_path / "label-studio"
    folder.mkdir()
    with label_studio_server(folder) as url:
        yield url


def write_review(folder: Path, server: str) -> Path:
    text = (ROOT / "flows/configs/review.toml").read_text().replace("http://127.0.0.1:8080", server)
    (folder / "config.toml").write_text(text)
    return folder / "config.toml"


def review(config: Path, server: str) -> int:
    """Two people judge all answers that they are given, and one of them all pairs; how many answers there were."""
    settings = configs.load(str(config))
    with label_studio.connect(server, KEY) as client:
        second = second_person(client)
        answers = tasks_on(client, settings, "answers")
        for task in answers:
            drawn = int(task["data"]["subject_id"][:8], 16)
            annotate(client, task, UNSAFE if drawn % UNUSUAL == 0 else SAFE, 1)
            annotate(client, task, UNSAFE if drawn % (2 * UNUSUAL) == 0 else SAFE, second)
        for task in tasks_on(client, settings, "pairs"):
            annotate(client, task, result(helpfulness=["A"], harmlessness=["B"], overall=["A"]), second)
    return len(answers)


def look_at_card(release: Path) -> None:
    """Save a picture of the card as a browser shows it."""
    _, _, body = (release / "README.md").read_text().split("---\n", 2)
    page_file = release.parent / "card.html"
    base = f'<base href="{release.as_uri()}/"><style>body {{ font: 16px sans-serif; margin: 3em; max-width: 60em }}</style>'
    page_file.write_text(f"{base}{MarkdownIt('commonmark', {'html': False}).enable('table').render(body)}")
    with browser_page() as page:
        page.goto(page_file.as_uri())
        page.screenshot(path=OUTPUT / "card.png", full_page=True)


@pytest.mark.timeout(1500)
def test_two_judges_two_people_and_an_approval_make_a_release(tmp_path: Path, server: str) -> None:
    config = write_review(tmp_path, server)
    with browser_page() as page, served(tmp_path, config) as site:
        run = site.start()
        assert run["state_name"] == "Suspended"
        answers = review(config, server)
        assert answers == 20
        assert site.resume(run)["status"] == "ACCEPT"
        assert site.read(run)["state_name"] == "Suspended"
        page.goto(f"{site.address}/runs/flow-run/{run['id']}")
        wait_for_state(page, "Suspended")
        assert fill_in(page, "approve", "Grace Hopper", "people agree with each other") == "ACCEPT"
        assert site.read(run)["state_name"] == "Completed"
        page.reload()
        wait_for_state(page, "Completed")
        save(page, "review_completed")

    (release,) = (tmp_path / "storage/releases").glob("*/manifest.json")
    manifest = json.loads(release.read_text())
    assert manifest["approval"]["name"] == "Grace Hopper"
    look_at_card(release.parent)
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{release.parent}/annotations'")
        people = connection.sql(
            "SELECT count(*), count(DISTINCT annotator) FROM 'verdicts.parquet' WHERE annotator_kind = 'person'"
        )
        assert people.fetchone() == (2 * answers + 3 * 6, 2)
        labels = connection.sql("SELECT count(*) FROM 'labels.parquet' WHERE by_people").fetchone()
        assert labels == (answers,)
        measured = connection.sql(
            "SELECT DISTINCT \"between\" FROM 'agreement.parquet' WHERE question = 'safety' AND value IS NOT NULL ORDER BY ALL"
        ).fetchall()
        assert measured == [("models",), ("models and people",), ("people",)]
        connection.sql(
            "FROM 'agreement.parquet' WHERE question IN ('safety', 'severity', 'overall', 'helpfulness', 'harmlessness')"
        ).show(max_rows=60)
    assert "answers that were drawn at random" in (release.parent / "README.md").read_text()
