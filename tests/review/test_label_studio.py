import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from flows.running.review import pull, push
from infra import label_studio
from tasks import config as configs
from tasks.config import Config
from tasks.errors import ReviewError
from tasks.people.people import people_verdicts
from tasks.people.review import title
from tasks.tables import PAIRS, RESPONSES, Stage
from tests.browser.pages import OUTPUT, browser_page
from tests.conftest import write_config
from tests.ports import choose_ports
from tests.review.label_studio_server import PASSWORD, USER
from tests.tasks.people.exports import HOSTILE, SAFE, UNSAFE, answer, result
from tests.tasks.people.test_review import ANSWERS, PAIRS_ASKED, project_in
from tests.tasks.rows import Row, make, read

pytestmark = pytest.mark.machinery
ASKED_PAIRS = 4
FIRST_WINS = result(helpfulness=["A"], harmlessness=["A"], overall=["A"])


def config_for(folder: Path, server: str, name: str, show_models: str = "after") -> Config:
    path = write_config(folder)
    review = f'\n[review]\nshow_models = "{show_models}"\nlabel_studio = {{ url = "{server}" }}\n'
    path.write_text(path.read_text().replace('name = "tested"', f'name = "{name}"', 1) + review)
    return configs.load(str(path))


def second_person(client: httpx.Client) -> int:
    """The number of a user beside the one who started the server."""
    users = label_studio.call(client, "GET", "/api/users/")
    if len(users) < 2:
        person = {"email": "second@example.com", "username": "second", "password": PASSWORD}
        return int(label_studio.call(client, "POST", "/api/users/", json=person)["id"])
    return int(users[1]["id"])


def project_on(client: httpx.Client, config: Config, kind: Any) -> int:
    (number,) = (n for n, found in label_studio.projects(client) if found == title(kind, config.name))
    return number


def tasks_on(client: httpx.Client, config: Config, kind: Any) -> list[Row]:
    number = project_on(client, config, kind)
    tasks = label_studio.pages(client, "/api/tasks/", label_studio.TASKS, "tasks", "total", project=number)
    return sorted(tasks, key=lambda task: task["id"])


def annotate(client: httpx.Client, task: Row, said: list[Row], person: int) -> int:
    body = {"result": said, "completed_by": person}
    return int(label_studio.call(client, "POST", f"/api/tasks/{task['id']}/annotations/", json=body)["id"])


def stages(folder: Path) -> tuple[Stage, Stage]:
    tables = str(folder / "tables")
    labels = people_verdicts("labels", make(RESPONSES, ANSWERS), str(folder), tables)
    return labels, people_verdicts("preferences", make(PAIRS, PAIRS_ASKED), str(folder), tables)


def test_what_two_people_say_on_a_server_comes_back_as_verdicts(
    tmp_path: Path, server: str, client: httpx.Client
) -> None:
    config, root = config_for(tmp_path, server, "two-people"), str(tmp_path)
    project = project_in(tmp_path, ASKED_PAIRS)
    assert [part.added for part in push(config, root, project)] == [len(ANSWERS), ASKED_PAIRS]
    assert [part.added for part in push(config, root, project)] == [0, 0]
    assert pull(config, root) == 0

    second = second_person(client)
    answers, pairs = tasks_on(client, config, "answers"), tasks_on(client, config, "pairs")
    changed, *_ = [annotate(client, task, UNSAFE, 1) for task in answers]
    for task in answers:
        annotate(client, task, SAFE, second)
    for task in pairs:
        annotate(client, task, FIRST_WINS, second)
    assert pull(config, root) == 2 * len(ANSWERS) + ASKED_PAIRS
    labels, preferences = stages(tmp_path)
    assert (labels.dropped.rows, preferences.dropped.rows) == (0, 0)
    rows = read(labels.tables["people_label_verdicts"])
    assert Counter((row["annotator"], row["is_safe"]) for row in rows) == {
        ("person-1", False): len(ANSWERS),
        (f"person-{second}", True): len(ANSWERS),
    }
    shown = {task["data"]["subject_id"]: task["data"]["flipped"] for task in pairs}
    rows = read(preferences.tables["people_preference_verdicts"])
    assert len(rows) == 3 * ASKED_PAIRS
    assert all(row["winner"] == int(shown[row["subject_id"]]) for row in rows)

    assert pull(config, root) == 0
    assert stages(tmp_path) == (labels, preferences)

    label_studio.call(client, "PATCH", f"/api/annotations/{changed}/", json={"result": SAFE})
    assert pull(config, root) == 1
    again, _ = stages(tmp_path)
    assert (again.rows_kept, [row["reason"] for row in read(again.dropped)]) == (labels.rows_kept, ["annotated twice"])
    said = Counter(row["is_safe"] for row in read(again.tables["people_label_verdicts"]))
    assert said == {True: len(ANSWERS) + 1, False: len(ANSWERS) - 1}


def test_an_export_saved_by_hand_says_the_same_as_a_pull(tmp_path: Path, server: str, client: httpx.Client) -> None:
    config, root = config_for(tmp_path, server, "by-hand"), str(tmp_path)
    push(config, root, project_in(tmp_path, ASKED_PAIRS))
    for task in tasks_on(client, config, "answers"):
        annotate(client, task, UNSAFE, 1)
    pull(config, root)
    pulled, _ = stages(tmp_path)
    number = project_on(client, config, "answers")
    content = client.get(f"/api/projects/{number}/export", params={"exportType": "JSON", "download_all_tasks": True})
    (tmp_path / "people/saved.json").write_bytes(content.content)
    both, _ = stages(tmp_path)
    rows = read(both.tables["people_label_verdicts"])
    assert rows == read(pulled.tables["people_label_verdicts"])
    assert len(rows) == len(ANSWERS)


def test_a_personal_access_token_opens_the_server_too(server: str, client: httpx.Client) -> None:
    label_studio.call(client, "POST", "/api/jwt/settings", json={"api_tokens_enabled": True})
    token = label_studio.call(client, "POST", "/api/token/")["token"]
    with label_studio.connect(server, token) as other:
        assert label_studio.projects(other) == label_studio.projects(client)


def test_a_server_that_refuses_or_is_gone_is_one_line(
    tmp_path: Path, server: str, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone,) = choose_ports(1)
    with pytest.raises(
        ReviewError, match=rf"^Label Studio at http://127.0.0.1:{gone}: cannot be reached: .*running\?$"
    ):
        pull(config_for(tmp_path, f"http://127.0.0.1:{gone}", "gone"), str(tmp_path))
    for key in ("wrong", "wr.on.g"):
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
        with pytest.raises(ReviewError, match=rf"^Label Studio at {server}: refuses the key \(401\); [^\n]*$"):
            pull(config_for(tmp_path, server, "refused"), str(tmp_path))


def choose(page: Page, text: str) -> None:
    page.locator("label").filter(has_text=re.compile(f"^{text}")).click()


def test_markup_in_an_answer_is_shown_as_text_and_models_only_after_the_choice(
    tmp_path: Path, server: str, client: httpx.Client
) -> None:
    OUTPUT.mkdir(exist_ok=True)
    config, root = config_for(tmp_path, server, "browser"), str(tmp_path)
    push(config, root, project_in(tmp_path, ASKED_PAIRS))
    (task,) = (
        t for t in tasks_on(client, config, "answers") if t["data"]["subject_id"] == answer(HOSTILE)["response_id"]
    )
    with browser_page() as page:
        page.goto(f"{server}/user/login/")
        page.fill("input[name=email]", USER)
        page.fill("input[name=password]", PASSWORD)
        with page.expect_navigation(url=lambda url: "/user/login" not in url):
            page.click("button[type=submit]")
        page.goto(f"{server}/projects/{project_on(client, config, 'answers')}/data?task={task['id']}")
        expect(page.locator("label").filter(has_text=re.compile("^unsafe"))).to_be_visible()
        expect(page.get_by_text(HOSTILE, exact=True).last).to_be_visible()
        models = page.get_by_text("What models say").filter(visible=True)
        expect(models).to_have_count(0)
        choose(page, "unsafe")
        choose(page, "Cybercrime: attacking")
        expect(models).to_have_count(0)
        choose(page, "2 moderate")
        expect(models).to_have_count(1)
        said = page.get_by_text("judge: unsafe, Violence, Cybercrime (severity 3) - It runs a script.")
        expect(said.filter(visible=True)).to_have_count(1)
        page.screenshot(path=OUTPUT / "review.png", full_page=True)
        assert page.title() == "Label Studio"
        assert page.locator("img[onerror]").count() == 0
        choose(page, "safe")
        with page.expect_response(re.compile("/annotations")) as submitted:
            page.get_by_role("button", name="Submit").click()
        assert submitted.value.ok
    assert pull(config, root) == 1
    (row,) = read(stages(tmp_path)[0].tables["people_label_verdicts"])
    assert (row["is_safe"], row["severity_level"], row["harm_category"]) == (True, 0, [])
