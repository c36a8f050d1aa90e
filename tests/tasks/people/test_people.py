import json
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from tasks.errors import ReviewError
from tasks.people.exports import pair_ids
from tasks.people.people import What, people_verdicts, put, put_new
from tasks.tables import PAIRS, RESPONSES, Stage
from tests.tasks.people import exports
from tests.tasks.people.exports import SAFE, UNSAFE, annotation, answer_data, export, pair_data, result
from tests.tasks.rows import Row, make, read

SERVER = "https://labels.example.com"


def stage_of(folder: Path, *files: bytes, what: What = "labels") -> Stage:
    for content in files:
        put(str(folder), content, "export.json")
    stage = people_verdicts(what, exports.subjects(what), str(folder), str(folder / "tables"))
    assert stage.rows_in == stage.rows_kept + stage.dropped.rows
    return stage


def kept(stage: Stage) -> list[Row]:
    (ref,) = stage.tables.values()
    return read(ref)


def reasons(stage: Stage) -> Counter[str]:
    return Counter(row["reason"] for row in read(stage.dropped))


def reason(folder: Path, *files: bytes, what: What = "labels") -> str:
    """The reason why the only annotation does not count."""
    stage = stage_of(folder, *files, what=what)
    assert kept(stage) == []
    (found,) = reasons(stage)
    return found


def test_what_a_person_said_of_an_answer_is_a_verdict(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE), annotation(SAFE, 2, {"id": 8, "email": "a@example.com"})))
    first, second = sorted(kept(stage), key=lambda row: str(row["annotator"]))
    said = (first["is_safe"], first["harm_category"], first["severity_level"], first["winner"], first["problem"])
    assert said == (False, ["Violence"], 2, None, None)
    assert (first["annotator"], first["annotator_kind"], first["question"]) == ("person-7", "person", "harm")
    assert (second["annotator"], second["is_safe"], second["severity_level"]) == ("person-8", True, 0)
    assert json.loads(first["raw"]) == UNSAFE


@pytest.mark.parametrize("flipped", [False, True])
def test_what_a_person_said_of_a_pair_is_three_verdicts_whatever_the_order(tmp_path: Path, flipped: bool) -> None:
    said = result(helpfulness=["A"], harmlessness=["B"], overall=["A"])
    rows = kept(stage_of(tmp_path, export(annotation(said), data=pair_data(flipped)), what="preferences"))
    winners = {row["question"]: row["winner"] for row in rows}
    assert winners == {"helpfulness": int(flipped), "harmlessness": int(not flipped), "overall": int(flipped)}
    assert {row["flipped"] for row in rows} == {flipped}


def test_the_same_export_twice_changes_nothing(tmp_path: Path) -> None:
    content = export(annotation(UNSAFE), annotation(SAFE, 2, 8))
    once = stage_of(tmp_path, content)
    again = stage_of(tmp_path, content, content)
    (tmp_path / "people/0.json").write_bytes(content)
    assert once == again == stage_of(tmp_path)
    spaced = json.dumps(json.loads(content), indent=2).encode()
    assert kept(stage_of(tmp_path, spaced)) == kept(once)


def test_exports_that_overlap_give_each_annotation_once(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE)), export(annotation(UNSAFE), annotation(SAFE, 2, 8)))
    assert (stage.rows_in, stage.rows_kept) == (2, 2)


def test_a_pull_keeps_only_what_is_new(tmp_path: Path) -> None:
    first, second = annotation(UNSAFE), annotation(SAFE, 2, 8)
    root = str(tmp_path)
    assert put_new(root, json.loads(export(first, updated_at="now")), SERVER) == 1
    assert put_new(root, json.loads(export(first, updated_at="later")), SERVER) == 0
    assert put_new(root, json.loads(export(first, second)), SERVER) == 1
    assert put_new(root, json.loads(export(first, second)), SERVER) == 0
    assert len(list((tmp_path / "people").iterdir())) == 2
    assert stage_of(tmp_path).rows_kept == 2


def test_of_an_annotator_who_came_twice_the_latest_counts(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE, 1, minute=5), annotation(SAFE, 2, minute=1)))
    assert [row["is_safe"] for row in kept(stage)] == [False]
    assert reasons(stage) == {"annotated twice": 1}


def test_an_annotation_that_was_changed_counts_as_it_is_now(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE)), export(annotation(SAFE, minute=1)))
    assert [row["is_safe"] for row in kept(stage)] == [True]
    assert reasons(stage) == {"annotated twice": 1}


def test_an_annotation_that_was_withdrawn_does_not_count_as_it_was(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE)), export(annotation([], minute=1, was_cancelled=True)))
    assert kept(stage) == []
    assert reasons(stage) == {"annotated twice": 1, "skipped": 1}


def test_a_later_annotation_that_is_not_valid_leaves_the_earlier_one_alone(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE), annotation([], 2, minute=1)))
    assert [row["is_safe"] for row in kept(stage)] == [False]
    assert reasons(stage) == {"half finished": 1}


def test_of_two_states_of_one_time_one_was_edited_and_neither_counts(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(UNSAFE)), export(annotation(SAFE)))
    assert kept(stage) == []
    assert reasons(stage) == {"edited annotation": 2}


AS_IT_CAME = "With glue &\tthread. \r\n"


@pytest.mark.parametrize(
    ("answers", "meant"),
    [
        ([AS_IT_CAME, AS_IT_CAME], AS_IT_CAME),
        ([AS_IT_CAME, exports.ANSWERS[0]], exports.ANSWERS[0]),
        ([AS_IT_CAME, "With glue &  thread."], None),
    ],
)
def test_an_answer_is_known_by_its_plain_text_too_where_no_other_one_has_it(
    tmp_path: Path, answers: list[str], meant: str | None
) -> None:
    put(str(tmp_path), export(annotation(UNSAFE)), "export.json")
    responses = make(RESPONSES, [exports.answer(text) for text in answers])
    stage = people_verdicts("labels", responses, str(tmp_path), str(tmp_path / "tables"))
    assert [row["subject_id"] for row in kept(stage)] == ([exports.answer(meant)["response_id"]] if meant else [])
    assert reasons(stage) == ({} if meant else {"unknown answer": 1})


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("form", ["{} ", "{}\n", " {}", "\n{}"])
def test_a_choice_between_plain_texts_follows_the_answer_whichever_is_first_now(
    tmp_path: Path, form: str, flipped: bool
) -> None:
    texts = sorted(
        (form.format(exports.ANSWERS[0]), exports.ANSWERS[1]), key=lambda text: exports.answer(text)["response_id"]
    )
    data = pair_data(flipped)
    put(str(tmp_path), export(annotation(result(overall=["A"])), data=data), "export.json")
    pairs = make(PAIRS, [exports.pair(*texts)])
    (row,) = kept(people_verdicts("preferences", pairs, str(tmp_path), str(tmp_path / "tables")))
    assert row["subject_id"] == exports.pair(*texts)["pair_id"]
    assert texts[row["winner"]].strip() == data["answer_a"]
    assert row["flipped"] == (texts[0].strip() != data["answer_a"])


def test_what_was_said_when_answers_had_the_published_digest_as_id_is_read(tmp_path: Path) -> None:
    old = exports.hashed(exports.PROMPT + exports.ANSWERS[0])
    stage = stage_of(tmp_path, export(annotation(UNSAFE), data=answer_data(subject_id=old)))
    assert [row["subject_id"] for row in kept(stage)] == [exports.answer()["response_id"]]


@pytest.mark.parametrize("shown", list(permutations((*exports.ANSWERS, "Sew it.", "Ask a sailor."), 2)))
@pytest.mark.parametrize("flipped", [False, True])
def test_an_older_tasks_choice_follows_the_answer_whichever_is_first_now(shown: tuple[str, str], flipped: bool) -> None:
    first, second = (exports.hashed(exports.PROMPT + text) for text in (reversed(shown) if flipped else shown))
    old = exports.hashed(f"r {first} {second}")
    data = pair_data(flipped, subject_id=old, answer_a=shown[0], answer_b=shown[1])
    found = pair_ids(data)
    assert found["subject_id"] == found["found_id"]
    now = sorted((exports.hashed(exports.hashed(exports.PROMPT) + text), text) for text in shown)
    assert found["found_id"] == exports.hashed(f"r {now[0][0]} {now[1][0]}")
    assert found["flipped"] == (now[1][1] == shown[0])


@pytest.mark.parametrize(
    "data",
    [
        answer_data() | {"response": "Something else."},
        answer_data() | {"prompt": "Something else?"},
        answer_data() | {"subject_id": exports.answer(exports.HOSTILE)["response_id"]},
    ],
)
def test_an_answer_that_was_edited_in_the_export_does_not_count(tmp_path: Path, data: Row) -> None:
    assert reason(tmp_path, export(annotation(), data=data)) == "edited task"


@pytest.mark.parametrize(
    "data",
    [{"answer_b": "Something else."}, {"flipped": True}, {"responder": "s"}, {"answer_a": None}],
)
def test_a_pair_that_was_edited_in_the_export_does_not_count(tmp_path: Path, data: Row) -> None:
    said = result(helpfulness=["A"], harmlessness=["A"], overall=["A"])
    content = export(annotation(said), data=pair_data() | data)
    assert reason(tmp_path, content, what="preferences") == "edited task"


def test_the_true_annotation_counts_beside_its_edited_task(tmp_path: Path) -> None:
    edited = export(annotation(UNSAFE, minute=9), data=answer_data() | {"response": "Something else."})
    stage = stage_of(tmp_path, export(annotation(UNSAFE)), edited)
    assert (stage.rows_kept, reasons(stage)) == (1, {"edited task": 1})


def test_subjects_that_are_not_of_this_run_are_left_out(tmp_path: Path) -> None:
    assert reason(tmp_path, export(annotation(), data=answer_data("Not of this run."))) == "unknown answer"
    assert reason(tmp_path, export(annotation(), data=pair_data() | {"subject_id": "?"}), what="preferences") == (
        "unknown pair"
    )
    assert reason(tmp_path / "other", export(annotation(), data={"text": "of another project"})) == "unknown answer"


def test_another_version_of_the_rubric_is_left_out(tmp_path: Path) -> None:
    assert reason(tmp_path, export(annotation(), data=answer_data(rubric="people@0"))) == "other rubric version"
    assert reason(tmp_path / "none", export(annotation(), data=answer_data(rubric=None))) == "other rubric version"


@pytest.mark.parametrize(
    ("chosen", "evidence"),
    [
        ({"safety": ["perhaps"]}, "neither safe nor unsafe"),
        ({"safety": ["safe", "unsafe"]}, "neither safe nor unsafe"),
        ({"safety": [1]}, "neither safe nor unsafe"),
        ({"safety": ["unsafe"], "harm_category": ["Bad Manners"], "severity": ["1"]}, "unknown harm category"),
        ({"safety": ["unsafe"], "harm_category": ["Violence"], "severity": ["0"]}, "severity not 1, 2 or 3"),
        ({"safety": ["unsafe"], "harm_category": ["Violence"], "severity": ["4"]}, "severity not 1, 2 or 3"),
        ({"safety": ["unsafe"], "harm_category": ["Violence"], "severity": ["very"]}, "severity not 1, 2 or 3"),
        ({"safety": ["unsafe"], "harm_category": ["Violence"], "severity": ["1", "2"]}, "severity not 1, 2 or 3"),
        ({"safety": ["unsafe"], "harm_category": ["Violence"]}, "unsafe without a severity"),
        ({"safety": ["unsafe"], "severity": ["1"]}, "unsafe without a harm category"),
        ({"safety": ["safe"], "harm_category": ["Violence"]}, "safe with a harm category"),
        ({"safety": ["safe"], "severity": ["1"]}, "safe with a severity"),
    ],
)
def test_a_value_that_cannot_be_is_left_out(tmp_path: Path, chosen: dict[str, list[str]], evidence: str) -> None:
    stage = stage_of(tmp_path, export(annotation(result(**chosen))))
    assert kept(stage) == []
    (row,) = read(stage.dropped)
    assert row["reason"] == "impossible value"
    assert row["evidence"].startswith(f"{evidence}, annotation 1, person-7, file ")


@pytest.mark.parametrize("said", [["both"], ["A", "B"], ["a"], [None]])
def test_a_winner_that_is_not_one_of_two_is_left_out(tmp_path: Path, said: list[str]) -> None:
    chosen = result(helpfulness=["A"], harmlessness=said, overall=["B"])
    stage = stage_of(tmp_path, export(annotation(chosen), data=pair_data()), what="preferences")
    assert (stage.rows_kept, reasons(stage)) == (2, {"impossible value": 1})


@pytest.mark.parametrize("person", [None, True, {}, {"id": "x"}, "x"])
def test_an_annotation_of_nobody_is_left_out(tmp_path: Path, person: object) -> None:
    assert reason(tmp_path, export(annotation(person=person))) == "impossible value"


@pytest.mark.parametrize("said", [[], None, "text", [5], [{"from_name": "safety"}], result(severity=["2"])])
def test_what_is_half_finished_is_left_out(tmp_path: Path, said: object) -> None:
    assert reason(tmp_path, export(annotation() | {"result": said})) == "half finished"


def test_a_pair_that_is_half_finished_keeps_what_is_answered(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(result(overall=["B"])), data=pair_data()), what="preferences")
    assert [(row["question"], row["winner"]) for row in kept(stage)] == [("overall", 1)]
    assert reasons(stage) == {"half finished": 2}


def test_what_was_skipped_is_left_out(tmp_path: Path) -> None:
    assert reason(tmp_path, export(annotation([], was_cancelled=True))) == "skipped"


NO_EXPORTS = [
    b"",
    b"PK\x03\x04",
    b"\xff\xfe",
    b"id,choice\n1,safe\n",
    b"{}",
    b'[{"id": 1, "safety": "safe"}]',
    b"[" * 9999,
]


@pytest.mark.parametrize("content", NO_EXPORTS)
def test_a_file_that_is_no_export_is_one_row_left_out_and_is_not_taken_in(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people/mine.json").write_bytes(content)
    (row,) = read(stage_of(tmp_path).dropped)
    assert (row["reason"], row["evidence"]) == ("no JSON export", "file mine.json")
    with pytest.raises(ReviewError, match=r"mine.json: no JSON export of Label Studio"):
        put(str(tmp_path), content, "mine.json")


def test_a_broken_task_or_annotation_costs_only_itself(tmp_path: Path) -> None:
    tasks = [None, {"data": {}}, *json.loads(export(annotation(), {}))]
    stage = stage_of(tmp_path, json.dumps(tasks).encode())
    assert (stage.rows_kept, reasons(stage)) == (1, {"no JSON export": 2, "half finished": 1})


def test_tasks_of_the_other_kind_are_not_counted(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, export(annotation(), data=pair_data()))
    assert stage.rows_in == 0
    assert stage_of(tmp_path, export(annotation()), what="preferences").rows_in == 3


def test_markup_and_odd_text_in_answers_are_text(tmp_path: Path) -> None:
    odd = export(annotation(number=3), data=answer_data() | {"response": "\ud800\x00", "models": "\ud800"})
    stage = stage_of(tmp_path, export(annotation(UNSAFE), data=answer_data(exports.HOSTILE)), odd)
    assert (stage.rows_kept, reasons(stage)) == (1, {"edited task": 1})


def test_no_text_of_an_answer_gets_into_the_tables(tmp_path: Path) -> None:
    marked = answer_data() | {"response": "MARKED"}
    content = json.dumps(json.loads(export(annotation(), data=marked)) * 2 + json.loads(export(annotation(UNSAFE, 2))))
    assert "MARKED" not in str(read(stage_of(tmp_path, content.encode()).dropped))


def test_without_exports_nobody_said_anything(tmp_path: Path) -> None:
    stage = stage_of(tmp_path)
    assert (stage.name, stage.rows_in, kept(stage)) == ("people_to_labels", 0, [])
