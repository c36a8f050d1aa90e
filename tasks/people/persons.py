"""Tell people apart, where exports come from more than one Label Studio server.

In: the tasks of each export. Out: a name for every author of an annotation, by export. Grain: one name a person.
An e-mail address is one person on whatever server. A number is a person on one server only, and an export does not say
where it is from: that is seen from the annotations that it shares with others.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

Row = dict[str, Any]
SERVER = "server"
"""Where a task was pulled from: its server's address."""


class Author(NamedTuple):
    """Who made an annotation, as its export says: a user's number, an e-mail address, or both."""

    number: int | None
    email: str | None


class Export(NamedTuple):
    """What an export tells of its server.

    Where it was pulled from, when each numbered task and annotation was made, what each annotation is about, and the
    addresses of users.
    """

    pulled: set[str]
    made: dict[tuple[str, int], object]
    about: dict[int, object]
    emails: dict[int, str]


def author(completed_by: object) -> Author | None:
    """The author, from a number, an address, or a user that has one of them; None where there is neither."""
    user = completed_by if isinstance(completed_by, dict) else {"id": completed_by, "email": completed_by}
    email = user.get("email")
    address = email.strip().casefold() if isinstance(email, str) and "@" in email else None
    found = Author(whole(user.get("id")), address)
    return None if found == (None, None) else found


def whole(value: object) -> int | None:
    """A whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def names(exports: Mapping[str, Sequence[Row]]) -> dict[str, dict[Author, str]]:
    """The name of each author of each export.

    It is `person-<number>`, or a hash of the address in the number's place. The second person of one number is
    `person-<number>-2`; whoever spoke first keeps the plain name when more servers come.
    """
    order = sorted(exports, key=lambda file: (first_said(exports[file]), file))
    told = [tell(exports[file]) for file in order]
    server_of = servers(told)
    emails: dict[tuple[int, int], set[str]] = {}
    for export, server in zip(told, server_of, strict=True):
        for number, email in export.emails.items():
            emails.setdefault((server, number), set()).add(email)
    name_of: dict[object, str] = {}
    taken: Counter[str] = Counter()
    named: dict[str, dict[Author, str]] = {file: {} for file in order}
    for file, server in zip(order, server_of, strict=True):
        for one in authors(exports[file]):
            person = identity(one, server, emails)
            if person not in name_of:
                digits = sha256(str(one.email).encode("utf-8", "surrogatepass")).hexdigest()[:8]
                plain = f"person-{digits if one.number is None else one.number}"
                taken[plain] += 1
                name_of[person] = plain if taken[plain] == 1 else f"{plain}-{taken[plain]}"
            named[file][one] = name_of[person]
    return named


def identity(one: Author, server: int, emails: Mapping[tuple[int, int], set[str]]) -> object:
    """What an author is the same person by: the address, also one that another export gives to the number; else the number."""
    if one.email or one.number is None:
        return one.email
    addresses = emails.get((server, one.number), set())
    return next(iter(addresses)) if len(addresses) == 1 else (server, one.number)


def servers(exports: Sequence[Export]) -> list[int]:
    """The server of each export, as a number: the first one that it shares annotations with, or that nothing speaks against."""
    known: list[Export] = []
    found = []
    for export in exports:
        speaks = [evidence(server, export) for server in known]
        best = max(speaks, default=-1)
        place = speaks.index(best) if best >= 0 else len(known)
        if place == len(known):
            known.append(Export(set(), {}, {}, {}))
        known[place].pulled.update(export.pulled)
        known[place].made.update(export.made)
        known[place].about.update(export.about)
        found.append(place)
    return found


def evidence(server: Export, export: Export) -> int:
    """1 if the export is of the server, -1 if it is of another one, 0 if nothing tells.

    What has the same number and was made at the same time is the same. Where they share no number, the addresses that
    they were pulled from tell.
    """
    times = [server.made[what] == when for what, when in export.made.items() if what in server.made]
    if times:
        return 1 if any(times) else -1
    if server.pulled and export.pulled:
        return 1 if server.pulled & export.pulled else -1
    other = any(server.about[what] != subject for what, subject in export.about.items() if what in server.about)
    return -1 if other else 0


def tell(tasks: Sequence[Row]) -> Export:
    """What an export tells of its server."""
    found = Export({str(task[SERVER]) for task in tasks if task.get(SERVER)}, {}, {}, {})
    for task in tasks:
        number, when = whole(task.get("id")), moment(task.get("created_at"))
        if number is not None and when:
            found.made["task", number] = when
    for task, annotation in annotations(tasks):
        number, when = whole(annotation.get("id")), moment(annotation.get("created_at"))
        if number is not None:
            found.about[number] = task["data"].get("subject_id")
            if when:
                found.made["annotation", number] = when
        one = author(annotation.get("completed_by"))
        if one and one.number is not None and one.email:
            found.emails[one.number] = one.email
    return found


def moment(value: object) -> object:
    """A time, in whatever form of ISO 8601 a version of Label Studio writes it."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return value


def annotations(tasks: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Each annotation with its task."""
    return ((task, found) for task in tasks for found in task["annotations"] if isinstance(found, dict))


def authors(tasks: Sequence[Row]) -> Iterator[Author]:
    """Whoever made an annotation, in the export's order."""
    found = (author(annotation.get("completed_by")) for _, annotation in annotations(tasks))
    return (one for one in found if one)


def first_said(tasks: Sequence[Row]) -> str:
    """When the first annotation was made, as text that sorts."""
    times = (annotation.get("created_at") or annotation.get("updated_at") for _, annotation in annotations(tasks))
    return min((time for time in times if isinstance(time, str)), default="")
