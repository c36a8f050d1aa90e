"""Make a review project: what people are asked in Label Studio, as files.

In: table `review_queue`, and tables `responses`, `labels`, `pairs`, `verdicts` and `opinions`. Out: a folder with tasks and a labelling
interface for answers and for pairs. Grain: one task per answer or pair in the queue. People see what models said before
their own choice, as text and as a prediction that is chosen already, or after it, as text.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from infra import storage
from tasks import warehouse
from tasks.config import Review
from tasks.errors import StorageError
from tasks.identity import digest
from tasks.judging.rubric import PEOPLE_RUBRIC, QUESTIONS
from tasks.people import interface
from tasks.people.exports import LABEL_CHOICES
from tasks.tables import Ref
from tasks.warehouse import Tables

Row = dict[str, Any]
Kind = Literal["answers", "pairs"]
KINDS: tuple[Kind, ...] = ("answers", "pairs")
TITLE_CHARS = 50
"""The longest title that Label Studio takes."""
INTERFACES = {"answers": interface.answers, "pairs": interface.pairs}
SHOWN = {
    "answers": ("subject_id", "prompt", "response", "models"),
    "pairs": ("subject_id", "responder", "flipped", "prompt", "answer_a", "answer_b", "models"),
}

HIDDEN = ("subject", "subject_id", "rubric", "responder", "flipped", "models")
"""What stays out of lists of tasks."""


class Pointer(TypedDict):
    """What leads to the project that was made last: the name of its folder."""

    project: Annotated[str, Field(pattern="^[0-9a-f]+$")]


class Subject(TypedDict):
    """What tells tasks apart."""

    subject_id: str


class Task(TypedDict):
    """What of a task is read again."""

    data: Subject


POINTER, TASKS = TypeAdapter(Pointer), TypeAdapter(list[Task])


@dataclass(frozen=True)
class Project:
    """A review project: its folder, and how many answers and pairs it asks about."""

    uri: str
    answers: int
    pairs: int


def make_project(review: Review, queue: Ref, tables: Tables, root: str) -> Project:
    """Write the project of `queue` below `<root>/review`; `tables` are those of all stages.

    Raises:
        StorageError: the storage cannot be written.
    """
    inputs: dict[Kind, Tables] = {
        "answers": {name: tables[name] for name in ("responses", "labels")} | {"verdicts": tables["label_verdicts"]},
        "pairs": {"pairs": tables["pairs"], "opinions": tables["preference_opinions"]},
    }
    rows = {kind: warehouse.table(f"review_{kind}", {"queue": queue, **inputs[kind]}).to_pylist() for kind in KINDS}
    files: dict[str, str] = {}
    for kind in KINDS:
        files[f"{kind}.json"] = json.dumps([task(kind, row, review.show_models) for row in rows[kind]], indent=1)
        files[f"{kind}.xml"] = INTERFACES[kind](review.show_models)
    fingerprint = digest(files)
    uri = storage.join(root, "review", fingerprint)
    with warehouse.writing(uri):
        for name, text in files.items():
            storage.write_bytes(storage.join(uri, name), text.encode())
        storage.write_bytes(storage.join(root, "review", "latest.json"), json.dumps({"project": fingerprint}).encode())
    return Project(uri, len(rows["answers"]), len(rows["pairs"]))


def task(kind: Kind, row: Row, show_models: interface.When) -> Row:
    """One task of Label Studio: what is shown, and what models would choose.

    A prediction would be chosen in advance wherever a task is opened from the list of tasks, whatever the project's
    settings say; so whoever is to see models only afterwards gets them as text alone.
    """
    data = {"subject": kind.removesuffix("s"), "rubric": PEOPLE_RUBRIC} | {name: row[name] for name in SHOWN[kind]}
    chosen = label(row) if kind == "answers" else {name: [row[name]] for name in QUESTIONS[1:] if row[name]}
    to_name = "response" if kind == "answers" else "prompt"
    result = [
        {"id": name, "from_name": name, "to_name": to_name, "type": "choices", "value": {"choices": values}}
        for name, values in chosen.items()
    ]
    prefilled = result and show_models == "before"
    return {"data": data, "predictions": [{"model_version": "models", "result": result}] if prefilled else []}


def label(row: Row) -> dict[str, list[str]]:
    """A label as the choices that a person would make for it."""
    if row["is_safe"] is None:
        return {}
    categories = [name for name, holds in row["harm_category"].items() if holds]
    unsafe = (["unsafe"], categories, [str(row["severity_level"])])
    return {"safety": ["safe"]} if row["is_safe"] else dict(zip(LABEL_CHOICES, unsafe, strict=True))


def latest(root: str) -> Project | None:
    """The project that was made last.

    Raises:
        StorageError: the pointer to it is broken, or a file of it is.
    """
    pointer = storage.join(root, "review", "latest.json")
    if not storage.exists(pointer):
        return None
    try:
        named = POINTER.validate_json(storage.read_bytes(pointer))["project"]
    except (ValidationError, *storage.FAULTS):
        raise StorageError(f"{pointer}: leads to no project; delete it, the next run makes the project again") from None
    uri = storage.join(root, "review", named)
    return Project(uri, *(len(tasks_of(uri, kind)) for kind in KINDS))


def tasks_of(uri: str, kind: Kind) -> list[Row]:
    """The tasks of a project; raises StorageError."""
    file = storage.join(uri, f"{kind}.json")
    try:
        content = storage.read_bytes(file)
        TASKS.validate_json(content)
    except (ValidationError, *storage.FAULTS):
        raise StorageError(
            f"{file}: holds no tasks; delete the folder that it is in, the next run makes it again"
        ) from None
    found: list[Row] = json.loads(content)
    return found


def interface_of(uri: str, kind: Kind) -> str:
    """The labelling interface of a project; raises StorageError."""
    file = storage.join(uri, f"{kind}.xml")
    try:
        return storage.read_bytes(file).decode()
    except (UnicodeDecodeError, *storage.FAULTS):
        raise StorageError(
            f"{file}: is no text; delete the folder that it is in, the next run makes it again"
        ) from None


def title(kind: Kind, name: str) -> str:
    """The title of the server's project: another rubric is another project, and so is another dataset."""
    return f"{kind} {PEOPLE_RUBRIC} {short(name)}"


def short(name: str) -> str:
    """The dataset's name, or as much of it as there is room for and a hash of the whole."""
    room = TITLE_CHARS - len(f"answers {PEOPLE_RUBRIC} ")
    return name if len(name) <= room else f"{name[: room - 9]}-{digest(name)[:8]}"


def is_of(found: str, name: str) -> bool:
    """Whether a title names a project of this dataset, under whatever rubric."""
    kind, rubric, of = [*found.split(" "), "", "", ""][:3]
    return kind in KINDS and rubric.startswith("people@") and of == short(name)
