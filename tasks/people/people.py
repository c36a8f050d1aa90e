"""Take what people said in Label Studio as verdicts.

In: exports of Label Studio, which stand as files in `<storage>/people/`, and the answers or pairs of this run.
Out: table `verdicts`. Grain: one row per annotation and question that counts; the others are dropped with a reason.
Files are named by their content, so that the same export twice is one file; of exports that overlap, each annotation
is taken once. Both outlive runs: whatever is not of this run, or of another rubric, is left out and stays where it is.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from infra import storage
from tasks import warehouse
from tasks.errors import ReviewError
from tasks.identity import digest
from tasks.judging.rubric import PEOPLE_RUBRIC
from tasks.people.exports import STATEMENTS, Row, exported, is_task, statements
from tasks.people.persons import SERVER, names
from tasks.tables import HARM_CATEGORIES, PAIRS, RESPONSES, VERDICTS, Ref, Stage, screened

What = Literal["labels", "preferences"]
TABLES = {
    "labels": replace(VERDICTS, name="people_label_verdicts"),
    "preferences": replace(VERDICTS, name="people_preference_verdicts"),
}
OF_ANNOTATION = ("id", "completed_by", "was_cancelled", "result", "created_at", "updated_at", "lead_time")


def people_verdicts(what: What, subjects: Ref | pa.Table, root: str, folder: str) -> Stage:
    """Read all that people said of `subjects`: table `responses` for labels, table `pairs` for preferences.

    Raises:
        StorageError: the storage cannot be read or written.
    """
    looked_at = screen(what, subjects, all_statements(root), folder)
    table, stage = TABLES[what], f"people_to_{what}"
    verdicts, dropped = warehouse.sift(table, folder, looked_at, stage)
    grain = "annotation of a person" + (" and question" if what == "preferences" else "")
    return Stage(stage, grain, looked_at.rows, verdicts.rows, dropped, {table.name: verdicts})


def counts(root: str, folder: str) -> list[Row]:
    """How many annotations there are of each question and problem, whether or not their subjects are of this run.

    Raises:
        StorageError: the storage cannot be read or written.
    """
    statements = all_statements(root)
    ids = statements["subject_id"].to_pylist()
    answers = pa.Table.from_pylist([{"response_id": one} for one in ids], schema=RESPONSES.schema)
    pairs = pa.Table.from_pylist([{"pair_id": one} for one in ids], schema=PAIRS.schema)
    looked_at = [
        screen("labels", answers, statements, folder),
        screen("preferences", pairs, statements, folder),
    ]
    return warehouse.rows("people_counts", {"screened": looked_at})


def screen(what: What, subjects: Ref | pa.Table, statements: pa.Table, folder: str) -> Ref:
    """Everything that people said about answers, or about pairs, with the reason why it does not count, if any."""
    return warehouse.build(
        screened(VERDICTS),
        folder,
        "people_screened",
        {"statements": statements, "subjects": subjects},
        what=what,
        rubric=PEOPLE_RUBRIC,
        harm_categories=list(HARM_CATEGORIES),
    )


def all_statements(root: str) -> pa.Table:
    """All exports of the storage as one table of statements."""
    found = {file: exported(content) for file, content in sorted(files(root).items())}
    named = names({file: list(filter(is_task, tasks or [])) for file, tasks in found.items()})
    rows = [row for file, tasks in found.items() for row in statements(file, tasks, named[file])]
    return pa.Table.from_pylist(rows, schema=STATEMENTS.schema)


def files(root: str) -> dict[str, bytes]:
    """The exports of the storage by name; several of the same content are one, by the name of its content if one has it."""
    folder = storage.join(root, "people")
    with warehouse.reading(folder):
        exports = storage.listing(folder, ".json")
    found = dict[str, bytes]()
    for uri in exports:
        with warehouse.reading(uri):
            found[uri.rsplit("/", 1)[-1]] = storage.read_bytes(uri)
    distinct = {hashlib.sha256(content).hexdigest(): file for file, content in sorted(found.items(), reverse=True)}
    kept = {f"{sha256}.json" if f"{sha256}.json" in found else file for sha256, file in distinct.items()}
    return {file: found[file] for file in sorted(kept)}


def put(root: str, content: bytes, name: str) -> str:
    """Keep an export under the name of its content and give its address; `name` is what an error calls it.

    Raises:
        ReviewError: it is no JSON export of Label Studio.
        StorageError: the storage cannot be written.
    """
    if exported(content) is None:
        raise ReviewError(f"{name}: no JSON export of Label Studio; export its project in the format JSON")
    uri = storage.join(root, "people", f"{hashlib.sha256(content).hexdigest()}.json")
    if not storage.exists(uri):
        with warehouse.writing(uri):
            storage.write_bytes(uri, content)
    return uri


def put_new(root: str, tasks: list[Row], server: str) -> int:
    """Keep those annotations of an export of `server` that no kept file holds in this state, as one file more; say how many."""
    known = {state for content in files(root).values() for state in states(exported(content) or [])}
    fresh = {state: task for state, task in states(tasks).items() if state not in known}
    if fresh:
        pulled = [{**task, SERVER: server} for task in fresh.values()]
        found = sorted(pulled, key=lambda task: json.dumps(task, sort_keys=True))
        put(root, json.dumps(found, sort_keys=True).encode(), "the server's export")
    return len(fresh)


def states(tasks: list[Any]) -> dict[str, Row]:
    """Each annotation of an export as a task of its own, without what changes by itself, under its hash."""
    found = [
        {"data": task["data"], "annotations": [{name: annotation.get(name) for name in OF_ANNOTATION}]}
        for task in filter(is_task, tasks)
        for annotation in task["annotations"]
        if isinstance(annotation, dict)
    ]
    return {digest(task): task for task in found}
