"""Read exports of Label Studio, and keep what is wrong with them beside the rest.

In: the bytes of a JSON export, and names of its authors. Out: rows of `STATEMENTS`. Grain: one row per annotation and question that its task
asks; what is no task is one row with a fault. Texts of prompts and answers stay behind: only their hash goes on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.identity import digest
from tasks.judging.rubric import QUESTIONS
from tasks.people.persons import Author, author, whole
from tasks.tables import FLAG, TEXT, Table, columns

Row = dict[str, Any]
LABEL_CHOICES = ("safety", "harm_category", "severity")
"""What a person chooses about an answer; about a pair it is one choice a question."""
NO_EXPORT = "no JSON export"

CHOSEN = pa.list_(TEXT)
STATEMENTS = Table(
    "statements",
    ("id", "file"),
    columns(
        id=TEXT,
        what=TEXT,
        file=TEXT,
        annotation=TEXT,
        annotator=TEXT,
        prompt_id=TEXT,
        subject_id=TEXT,
        found_id=TEXT,
        rubric=TEXT,
        question=TEXT,
        flipped=FLAG,
        updated_at=TEXT,
        was_cancelled=FLAG,
        safety=CHOSEN,
        harm_category=CHOSEN,
        severity=CHOSEN,
        winner=CHOSEN,
        raw=TEXT,
        fault=TEXT,
    ),
)
"""One row per annotation of a person and question."""


def is_task(value: object) -> bool:
    """Whether this is a task as Label Studio exports one."""
    return (
        isinstance(value, dict) and isinstance(value.get("data"), dict) and isinstance(value.get("annotations"), list)
    )


def exported(content: bytes) -> list[Any] | None:
    """The tasks of an export and what else stands between them; None where the file is no export."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and (not found or any(map(is_task, found))) else None


def statements(file: str, tasks: Sequence[object] | None, named: Mapping[Author, str]) -> Iterator[Row]:
    """Rows of `STATEMENTS` for all that the export `file` holds: its tasks, None where it is none; authors are `named`."""
    if tasks is None:
        yield {"id": digest(file), "what": "labels", "file": file, "fault": NO_EXPORT}
        return
    for place, task in enumerate(tasks, start=1):
        if isinstance(task, dict) and is_task(task):
            for annotation in task["annotations"]:
                yield from statements_of(file, task["data"], annotation if isinstance(annotation, dict) else {}, named)
        else:
            yield {"id": digest(file, place), "what": "labels", "file": f"{file}, task {place}", "fault": NO_EXPORT}


def statements_of(file: str, data: Row, annotation: Row, named: Mapping[Author, str]) -> Iterator[Row]:
    """What one annotation says: one row about an answer, three about a pair."""
    of_pair = data.get("subject") == "pair"
    result = annotation.get("result")
    chosen = choices(result if isinstance(result, list) else [])
    shown = {
        **(pair_ids(data) if of_pair else answer_ids(data)),
        "rubric": text(data.get("rubric")),
        "was_cancelled": annotation.get("was_cancelled") is True,
        "raw": json.dumps(result, sort_keys=True),
    }
    one, number = author(annotation.get("completed_by")), whole(annotation.get("id"))
    by = {"annotation": None if number is None else str(number), "annotator": named[one] if one else None}
    when = text(annotation.get("updated_at")) or text(annotation.get("created_at"))
    for question in QUESTIONS[1:] if of_pair else QUESTIONS[:1]:
        yield {
            "id": digest(by, question, shown),
            "what": "preferences" if of_pair else "labels",
            "file": file,
            "question": question,
            "prompt_id": sha256(data.get("prompt")),
            "updated_at": when,
            **shown,
            **by,
            **{name: [] if of_pair else chosen.get(name, []) for name in LABEL_CHOICES},
            "winner": chosen.get(question, []) if of_pair else [],
        }


def choices(result: list[Any]) -> dict[str, list[str]]:
    """What was chosen under each name of the labelling interface."""
    found: dict[str, list[str]] = {}
    for region in result:
        if isinstance(region, dict) and isinstance(region.get("value"), dict):
            chosen = region["value"].get("choices")
            if isinstance(chosen, list):
                found.setdefault(str(region.get("from_name")), []).extend(text(value) or "" for value in chosen)
    return found


def answer_ids(data: Mapping[str, Any]) -> Row:
    """What an answer's task says that it is about, and what its texts say.

    A task of a release that knew answers by the published digest says that one, and is read as if it said the answer's.
    """
    found, published = (made(data.get("prompt"), data.get("response")) for made in (response_id, sha256))
    subject_id = text(data.get("subject_id"))
    return {"subject_id": found if subject_id == published else subject_id, "found_id": found, "flipped": False}


def pair_ids(data: Mapping[str, Any]) -> Row:
    """The same of a pair's task, seen through the order in which its answers are shown.

    Which answer is the first of a pair is decided by their ids, so that an older task may show the other order.
    """
    subject_id, flipped = text(data.get("subject_id")), data.get("flipped") is True
    if subject_id == pair_id(data, flipped, sha256):
        first, second = (response_id(data.get("prompt"), data.get(name)) for name in ("answer_a", "answer_b"))
        flipped = first > second
        subject_id = pair_id(data, flipped, response_id)
    return {"subject_id": subject_id, "found_id": pair_id(data, flipped, response_id), "flipped": flipped}


def pair_id(data: Mapping[str, Any], flipped: bool, made: Callable[..., str]) -> str:
    """The `pair_id` that the texts of a pair's task give, with the ids of answers `made` of prompt and answer."""
    first, second = (made(data.get("prompt"), data.get(name)) for name in ("answer_a", "answer_b"))
    ids = (second, first) if flipped else (first, second)
    return sha256(" ".join([str(data.get("responder")), *ids]))


def response_id(prompt: object, response: object) -> str:
    """The same as the macro `response_id`."""
    return sha256(sha256(prompt), response)


def sha256(*texts: object) -> str:
    """The hash that identifies a text in our tables."""
    return hashlib.sha256("".join(map(str, texts)).encode("utf-8", "surrogatepass")).hexdigest()


def text(value: object) -> str | None:
    """Text that UTF-8 can hold."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None
