import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tasks.config import Review
from tasks.engines.blocks import put as put_block
from tasks.errors import StorageError
from tasks.identity import digest
from tasks.judging.rubric import PEOPLE_RUBRIC, definitions
from tasks.people import interface
from tasks.people.people import people_verdicts, put
from tasks.people.review import TITLE_CHARS, Project, interface_of, is_of, latest, make_project, tasks_of, title
from tasks.tables import HARM_CATEGORIES, LABELS, PAIRS, RESPONSES, REVIEW_QUEUE, VERDICTS, Ref, Table
from tests.tasks.people import exports
from tests.tasks.people.exports import HOSTILE, PROMPT, annotation, answer, hashed
from tests.tasks.rows import Row, make, read, with_opinions

PAIR_COUNT = 16
QUESTIONS = ("helpfulness", "harmlessness", "overall")


def stand(table: Table, folder: Path, rows: list[Row]) -> Ref:
    uri = str(folder / "tables" / f"{digest(table.name, rows)}.parquet")
    put_block(make(table, rows), uri)
    return Ref(uri, len(rows), digest(rows))


def pair_of(number: int) -> Row:
    """A pair whose second answer wins whatever is asked."""
    texts = {"response_0": f"Answer {number}.", "response_1": f"Better answer {number}."}
    first, second = (hashed(hashed(PROMPT) + text) for text in texts.values())
    ids = {"responder": "r", "response_0_id": first, "response_1_id": second}
    return {"pair_id": hashed(f"r {first} {second}"), "prompt": PROMPT, **ids, **texts}


ANSWERS = [answer(), answer(HOSTILE), answer("Without a label.")]
PAIRS_ASKED = [pair_of(number) for number in range(PAIR_COUNT)]


def opinion(subject_id: str, question: str, annotator: str = "judge", **said: object) -> Row:
    kind = "person" if annotator.startswith("person") else "model"
    named = {"subject_id": subject_id, "question": question, "annotator": annotator, "annotator_kind": kind}
    return {"verdict_id": hashed(f"{named} {said}"), **named, "vote": 0, "flipped": False} | said


def tables(folder: Path, asked: int = PAIR_COUNT, more: Sequence[Row] = ()) -> dict[str, Any]:
    safe, unsafe, _ = (row["response_id"] for row in ANSWERS)
    labels = [
        {"response_id": safe, "is_safe": True, "harm_category": dict.fromkeys(HARM_CATEGORIES, False)},
        {
            "response_id": unsafe,
            "is_safe": False,
            "harm_category": {name: name in ("Violence", "Cybercrime") for name in HARM_CATEGORIES},
            "severity_level": 3,
        },
    ]
    said = json.dumps({"analysis": "It runs a script."})
    told: Row = {"is_safe": False, "harm_category": ["Violence", "Cybercrime"], "severity_level": 3, "raw": said}
    on_answers = [
        opinion(safe, "harm", is_safe=True, severity_level=0, harm_category=[], raw="{broken", problem=None),
        opinion(unsafe, "harm", **told),
        opinion(unsafe, "harm", "person-1", is_safe=True, severity_level=0, harm_category=[], raw="[]"),
    ]
    on_pairs = [opinion(pair["pair_id"], question, winner=1) for pair in PAIRS_ASKED for question in QUESTIONS]
    subjects = [(row["response_id"], "answer") for row in ANSWERS] + [
        (p["pair_id"], "pair") for p in PAIRS_ASKED[:asked]
    ]
    queue = [{"subject_id": i, "subject": s, "place": -place} for place, (i, s) in enumerate(subjects)]
    return {
        "queue": stand(REVIEW_QUEUE, folder, queue),
        "responses": stand(RESPONSES, folder, [*ANSWERS, *ANSWERS]),
        "labels": stand(LABELS, folder, labels),
        "pairs": stand(PAIRS, folder, PAIRS_ASKED),
        "label_verdicts": stand(VERDICTS, folder, on_answers),
        "preference_opinions": with_opinions([*on_pairs, *more])["opinions"],
    }


def project_in(folder: Path, asked: int = PAIR_COUNT, **review: object) -> Project:
    made = tables(folder, asked)
    return make_project(Review.model_validate(review), made["queue"], made, str(folder))


def test_each_entry_of_the_queue_is_one_task_in_its_order(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    assert (project.answers, project.pairs) == (len(ANSWERS), PAIR_COUNT)
    asked = [task["data"]["subject_id"] for task in tasks_of(project.uri, "answers")]
    assert asked == [row["response_id"] for row in reversed(ANSWERS)]
    asked = [task["data"]["subject_id"] for task in tasks_of(project.uri, "pairs")]
    assert asked == [row["pair_id"] for row in reversed(PAIRS_ASKED)]


def test_the_same_queue_is_the_same_project_and_another_queue_another(tmp_path: Path) -> None:
    first = project_in(tmp_path)
    assert project_in(tmp_path) == first
    second = project_in(tmp_path, asked=0)
    assert second.uri != first.uri
    assert latest(str(tmp_path)) == second
    assert project_in(tmp_path, show_models="before").uri != first.uri
    assert latest(str(tmp_path / "empty")) is None


def test_what_models_said_is_attached_without_what_people_said(tmp_path: Path) -> None:
    unlabelled, unsafe, safe = tasks_of(project_in(tmp_path, show_models="before").uri, "answers")
    assert (unlabelled["predictions"], unlabelled["data"]["models"]) == ([], "")
    assert safe["data"]["models"] == "judge: safe"
    assert unsafe["data"]["models"] == "judge: unsafe, Violence, Cybercrime (severity 3) - It runs a script."
    (prediction,) = unsafe["predictions"]
    chosen = {entry["from_name"]: entry["value"]["choices"] for entry in prediction["result"]}
    assert chosen == {"safety": ["unsafe"], "harm_category": ["Violence", "Cybercrime"], "severity": ["3"]}
    assert "person" not in json.dumps([unsafe, safe])


def test_a_hash_decides_the_order_and_what_is_chosen_finds_the_way_back(tmp_path: Path) -> None:
    asked = tasks_of(project_in(tmp_path, show_models="before").uri, "pairs")
    assert {task["data"]["flipped"] for task in asked} == {False, True}
    for task in asked:
        better = "answer_a" if task["data"]["flipped"] else "answer_b"
        assert task["data"][better].startswith("Better")
        letter = better[-1].upper()
        assert task["data"]["models"] == "judge: " + ", ".join(f"{name} {letter}" for name in sorted(QUESTIONS))
    answered = [
        task | {"annotations": [annotation(task["predictions"][0]["result"], number)]}
        for number, task in enumerate(asked)
    ]
    put(str(tmp_path), json.dumps(answered).encode(), "export.json")
    stage = people_verdicts("preferences", make(PAIRS, PAIRS_ASKED), str(tmp_path), str(tmp_path / "tables"))
    rows = read(stage.tables["people_preference_verdicts"])
    assert [row["winner"] for row in rows] == [1] * 3 * PAIR_COUNT
    assert {row["flipped"] for row in rows} == {False, True}


def test_where_models_are_even_nothing_is_predicted(tmp_path: Path) -> None:
    pair_id = PAIRS_ASKED[0]["pair_id"]
    against = [opinion(pair_id, "overall", "other", winner=0), opinion(pair_id, "harmlessness", "judge", winner=0)]
    made = tables(tmp_path, more=against)
    task = tasks_of(make_project(Review(show_models="before"), made["queue"], made, str(tmp_path)).uri, "pairs")[-1]
    assert [entry["from_name"] for entry in task["predictions"][0]["result"]] == ["helpfulness"]
    assert "harmlessness undecided" in task["data"]["models"]


def test_who_sees_models_afterwards_finds_nothing_chosen_already(tmp_path: Path) -> None:
    project = project_in(tmp_path, show_models="after")
    tasks = [*tasks_of(project.uri, "answers"), *tasks_of(project.uri, "pairs")]
    assert {len(task["predictions"]) for task in tasks} == {0}
    assert any(task["data"]["models"] for task in tasks)


def test_without_verdicts_models_say_nothing(tmp_path: Path) -> None:
    made = tables(tmp_path) | {"preference_opinions": with_opinions([])["opinions"]}
    tasks = tasks_of(make_project(Review(), made["queue"], made, str(tmp_path)).uri, "pairs")
    assert {(task["data"]["models"], len(task["predictions"])) for task in tasks} == {("", 0)}


@pytest.mark.parametrize("kind", ["answers", "pairs"])
def test_models_are_shown_before_or_only_after_every_choice(kind: str) -> None:
    made = {when: ElementTree.fromstring(getattr(interface, kind)(when)) for when in ("before", "after")}  # noqa: S314
    (shown,) = (place for place, tag in enumerate(made["before"]) if tag.get("value") == "$models")
    assert shown < [tag.tag for tag in made["before"]].index("Choices")
    hidden = made["after"].findall(".//Text[@value='$models']")
    assert hidden
    assert not [tag for tag in made["after"].findall("Text") if tag in hidden]
    parents = {child: parent for parent in made["after"].iter() for child in parent}
    assert all(parents[tag].get("visibleWhen") == "choice-selected" for tag in hidden)


@pytest.mark.parametrize("kind", ["answers", "pairs"])
def test_every_text_is_shown_as_text(kind: str) -> None:
    made = ElementTree.fromstring(getattr(interface, kind)("after"))  # noqa: S314
    shows = [tag for tag in made.iter() if (tag.get("value") or "").startswith("$")]
    assert {(tag.tag, tag.get("valueType")) for tag in shows} == {("Text", "text")}
    assert {tag.tag for tag in made.iter()} == {"View", "Header", "Text", "Choices", "Choice"}


def test_the_nineteen_categories_carry_their_definitions() -> None:
    made = ElementTree.fromstring(interface.answers("after"))  # noqa: S314
    named = {tag.get("alias"): tag.get("value") for tag in made.findall(".//Choices[@name='harm_category']/Choice")}
    assert tuple(named) == HARM_CATEGORIES
    assert named == {name: f"{name}: {entry['means']}" for name, entry in definitions()[0].items()}


def test_titles_fit_and_tell_datasets_apart() -> None:
    names = ["demo", "a" * 40, "a" * 41]
    titles = [title("answers", name) for name in names]
    assert max(map(len, titles)) <= TITLE_CHARS
    assert [[is_of(found, name) for found in titles] for name in names] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    assert not is_of("Some other project", "demo")


def test_markup_in_an_answer_stays_as_it_is(tmp_path: Path) -> None:
    (task,) = [task for task in tasks_of(project_in(tmp_path).uri, "answers") if "script" in task["data"]["response"]]
    assert task["data"]["response"] == HOSTILE
    assert exports.answer(HOSTILE)["response_id"] == task["data"]["subject_id"]


WHEN: tuple[interface.When, ...] = ("before", "after")
PINNED = {"people@fc6b9042a419": "1efdd1c36f2af850c8291208e265f660"}


def test_what_people_see_is_what_the_version_of_what_they_are_asked_stands_for() -> None:
    seen = [shown(when) for shown in (interface.answers, interface.pairs) for when in WHEN]
    # Does a new wording mean another question? Then give PEOPLE_RUBRIC another name, else only pin what they see now.
    assert {PEOPLE_RUBRIC: digest(seen)} == PINNED


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"[3]", b'{"project": "../.."}', b'[{"data": {}}]', b"\xff", None]
)
def test_a_project_that_broke_is_one_line_that_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    made = project_in(tmp_path)
    files = [tmp_path / "review/latest.json", Path(made.uri) / "answers.json", Path(made.uri) / "pairs.xml"]
    for file in files:
        whole = file.read_bytes()
        file.unlink()
        file.mkdir() if content is None else file.write_bytes(content)
        try:
            latest(str(tmp_path))
            interface_of(made.uri, "pairs")
        except StorageError as error:
            said = str(error)
        else:
            said = "" if content == b"[]" or file.suffix == ".xml" else "nothing"
        assert said == "" or said.startswith(f"{file}: ")
        if file.is_dir():
            file.rmdir()
        file.write_bytes(whole)
    assert latest(str(tmp_path)) == made
