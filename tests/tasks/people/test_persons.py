import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.people.exports import is_task
from tasks.people.people import people_verdicts, put, put_new
from tasks.people.persons import Author, author, names
from tasks.tables import Stage
from tests.tasks.people import exports
from tests.tasks.people.exports import HOSTILE, SAFE, UNSAFE, annotation, answer_data, export
from tests.tasks.rows import Row, read

HERE, THERE = "https://here.example.com", "https://there.example.com"


def made(day: int, **more: object) -> Row:
    return {"created_at": f"2026-11-{day:02}T10:00:00.123456Z", **more}


def verdicts(folder: Path) -> Stage:
    return people_verdicts("labels", exports.subjects(), str(folder), str(folder / "tables"))


def said(folder: Path, *files: bytes) -> list[tuple[str, bool]]:
    """Who said whether the answer is safe, of all that counts."""
    for content in files:
        put(str(folder), content, "export.json")
    (ref,) = verdicts(folder).tables.values()
    return sorted((row["annotator"], row["is_safe"]) for row in read(ref))


def pulled(folder: Path, server: str, *files: bytes) -> list[tuple[str, bool]]:
    for content in files:
        put_new(str(folder), json.loads(content), server)
    return said(folder)


BOTH = [("person-7", False), ("person-7-2", True)]


def test_users_of_one_number_on_two_servers_are_two_people(tmp_path: Path) -> None:
    first, second = export(annotation(UNSAFE, **made(1))), export(annotation(SAFE, minute=9, **made(2)))
    assert said(tmp_path / "by hand", first, second) == BOTH
    pulled(tmp_path / "pulled", HERE, first)
    assert pulled(tmp_path / "pulled", THERE, second) == BOTH
    pulled(tmp_path / "both", HERE, first)
    assert said(tmp_path / "both", second) == BOTH


def test_servers_that_share_no_number_are_told_apart_by_their_address(tmp_path: Path) -> None:
    pulled(tmp_path, HERE, export(annotation(UNSAFE, 1, **made(1))))
    assert pulled(tmp_path, THERE, export(annotation(SAFE, 9, **made(2)))) == BOTH


def test_one_address_is_one_person_on_two_servers(tmp_path: Path) -> None:
    users = {"id": 7, "email": "A@example.com"}, {"id": 1, "email": " a@example.com"}
    first = export(annotation(UNSAFE, person=users[0], **made(1)))
    second = export(annotation(SAFE, person=users[1], minute=9, **made(2)))
    assert said(tmp_path, first, second) == [("person-7", True)]


def test_two_addresses_are_two_people_whatever_their_numbers_and_names(tmp_path: Path) -> None:
    users = [{"id": 7, "email": f"{name}@example.com", "first_name": "A | B / C"} for name in "ab"]
    first, second = (
        export(annotation(said, n, user)) for n, said, user in zip((1, 2), (UNSAFE, SAFE), users, strict=True)
    )
    assert said(tmp_path, first, second) == BOTH


def test_a_number_is_the_person_whose_address_another_export_of_the_server_gives(tmp_path: Path) -> None:
    user = {"id": 7, "email": "a@example.com"}
    first, second = annotation(UNSAFE, **made(1)), annotation(SAFE, 2, user, minute=9, **made(1))
    assert said(tmp_path, export(first), export(first, second)) == [("person-7", True)]


def test_all_exports_of_one_server_keep_the_plain_names(tmp_path: Path) -> None:
    first, second = annotation(UNSAFE, **made(1)), annotation(SAFE, 2, 8, **made(2))
    other = export(annotation(SAFE, 3, **made(3)), data=answer_data(HOSTILE), id=2)
    names_of_all = [("person-7", False), ("person-7", True), ("person-8", True)]
    assert said(tmp_path / "by hand", export(first), export(first, second), other) == names_of_all
    for content in (export(first), export(first, second), other):
        found = pulled(tmp_path / "pulled", HERE, content)
    assert found == names_of_all
    assert said(tmp_path / "both", export(first, second)) == names_of_all[::2]
    assert pulled(tmp_path / "both", HERE, export(first, second), other) == names_of_all


def test_a_time_in_another_form_is_the_same_time(tmp_path: Path) -> None:
    first = annotation(UNSAFE, created_at="2026-11-01T10:00:00Z")
    again = annotation(SAFE, minute=9, created_at="2026-11-01T10:00:00.000000+00:00")
    assert said(tmp_path, export(first), export(again)) == [("person-7", True)]


def test_nobodys_name_changes_when_a_server_is_added(tmp_path: Path) -> None:
    first = export(annotation(UNSAFE, **made(1)))
    before = said(tmp_path, first)
    assert set(before) < set(said(tmp_path, export(annotation(SAFE, minute=9, **made(2)))))


@pytest.mark.parametrize(
    ("completed_by", "found"),
    [
        (7, Author(7, None)),
        ({"id": 7, "email": "A@b.c "}, Author(7, "a@b.c")),
        ({"email": "a@b.c"}, Author(None, "a@b.c")),
        ("a@b.c", Author(None, "a@b.c")),
        ({"id": 7, "email": ""}, Author(7, None)),
        ({"id": [7], "email": ["a@b.c"]}, None),
        ({"id": True}, None),
        ({"username": "a | b"}, None),
        ("a / b", None),
        ([], None),
        (None, None),
    ],
)
def test_an_author_has_a_number_an_address_or_is_nobody(completed_by: object, found: Author | None) -> None:
    assert author(completed_by) == found


TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda part: st.lists(part, max_size=2) | st.fixed_dictionaries({"id": part, "email": part}),
    max_leaves=3,
)
USERS = st.integers(0, 3) | st.fixed_dictionaries(
    {"id": st.integers(0, 3), "email": st.sampled_from(["a@x", "b@x", "|@/ "])}
)


@given(st.lists(st.lists(USERS, max_size=4), min_size=1, max_size=4))
def test_on_different_servers_a_name_is_a_number_of_one_server_or_an_address(
    servers: Sequence[Sequence[object]],
) -> None:
    files = {
        f"{place}": [
            json.loads(export(annotation(number=number, person=user, **made(place + 1))))[0]
            for number, user in enumerate(users)
        ]
        for place, users in enumerate([[0], *servers])
    }
    named = names(files)
    people: dict[str, set[object]] = {}
    for file, authors in named.items():
        for one, name in authors.items():
            people.setdefault(name, set()).add(one.email or (file, one.number))
    addresses = [{who for who in found if isinstance(who, str)} for found in people.values()]
    numbers = [{who[0] for who in found if isinstance(who, tuple)} for found in people.values()]
    assert all(len(found) <= 1 for found in addresses)
    assert all(len(servers) <= 1 or found for servers, found in zip(numbers, addresses, strict=True))


@given(JSON, JSON, JSON, JSON)
def test_whatever_stands_in_an_export_every_author_has_a_name(a: object, b: object, c: object, d: object) -> None:
    found = {"id": a, "completed_by": b, "created_at": c, "updated_at": d}
    tasks: list[Row] = [{"id": d, "created_at": a, "data": {"subject_id": c}, "annotations": [found, b], "server": c}]
    assert all(map(is_task, tasks))
    one = author(b)
    assert set(names({"file": tasks})["file"]) >= ({one} if one else set())
