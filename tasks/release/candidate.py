"""Write a release candidate: the tables of all stages as the files that a release holds.

In: the tables of all stages. Out: data files, card and charts below `<storage>/candidates/`.
Grain of its four datasets: PKU-SafeRLHF's (`prompts`, `qa`, `dual`, `single`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.config import Config, Judge, Responder
from tasks.identity import digest, of_everything, query
from tasks.judging.agreement import agreement, agreement_patterns
from tasks.release.manifest import File, Version, is_of_desktop
from tasks.tables import INTEGER, REAL, TEXT, Stage, columns, tables_by_name
from tasks.warehouse import Source, Tables

SPLITS = ("train", "test")
BY_RESPONDER = ("qa", "dual", "single")
ANNOTATIONS = {
    "annotated_prompts": "annotations/prompts.parquet",
    "responses": "annotations/responses.parquet",
    "verdicts": "annotations/verdicts.parquet",
    "labels": "annotations/labels.parquet",
    "preferences": "annotations/preferences.parquet",
    "agreement": "annotations/agreement.parquet",
    "stages": "annotations/stages.parquet",
    "dropped": "dropped.parquet",
}
"""The tables for analysts, every vote and every drop, by path in the release; a file has the name of its table.

By it they are views, but for those that have the name of a dataset.
"""

GATHERED = {
    "verdicts": ("label_verdicts", "preference_verdicts"),
    "opinions": ("label_opinions", "preference_opinions"),
}
"""What labels and preferences each have a table of: all votes, those of people among them, and what they come to."""

STAGES = columns(
    stage=TEXT,
    grain=TEXT,
    rows_in=INTEGER,
    rows_kept=INTEGER,
    rows_dropped=INTEGER,
    asked=INTEGER,
    found=INTEGER,
    input_tokens=INTEGER,
    output_tokens=INTEGER,
    estimated_input_tokens=INTEGER,
    estimated_output_tokens=INTEGER,
    queue_seconds=REAL,
    start_seconds=REAL,
    work_seconds=REAL,
    gpu_seconds=REAL,
    seconds=REAL,
)


@dataclass(frozen=True)
class Candidate:
    """A release that is written and not yet examined: where it stands, its data files, and what identifies it."""

    version: Version
    uri: str
    files: tuple[File, ...]
    fingerprint: str


def write_candidate(config: Config, stages: Sequence[Stage], version: str, fingerprint: str, root: str) -> Candidate:
    """Write all data files and the card below `<root>/candidates/`, in place of what earlier tries left.

    Raises:
        StorageError: the folder cannot be written.
    """
    from tasks.card.card import write_card  # noqa: PLC0415 (charts take a second to import, which unchanged data need not wait)

    tables = tables_of(stages)
    folder = storage.join(root, "tables")
    tables["patterns"] = patterns = agreement_patterns(tables["opinions"], folder)
    tables["agreement"] = agreement(patterns, config.seed, folder)
    uri = storage.join(root, "candidates", f"{version}-{fingerprint[:8]}")
    with warehouse.writing(uri):
        storage.remove(uri)
        remove_unjudged(root)
        with warehouse.opened(tables) as together:
            for path, selected, parameters in datasets(config):
                warehouse.write(together.connection, selected, storage.join(uri, path), parameters)
            for path in annotations(tables).values():
                warehouse.write(together.connection, f"FROM {Path(path).stem}", storage.join(uri, path), {})
            write_card(config, version, together, uri)
    return Candidate(version, uri, tuple(describe_files(uri)), fingerprint)


def remove_unjudged(root: str) -> None:
    """Delete the candidates that the gate has not judged to the end; the others may wait for people.

    Nobody else may be at work on the storage.
    """
    folder = storage.join(root, "candidates")
    for candidate in storage.folders(folder) if storage.exists(folder) else []:
        if not storage.is_unfinished(candidate) and not storage.exists(storage.join(candidate, "gate/verdict.json")):
            storage.remove(candidate)


def annotations(tables: Tables) -> dict[str, str]:
    """The tables for analysts that this release has: quotas only where there was a budget of pairs."""
    quotas = {"pair_quotas": "annotations/pair_quotas.parquet"} if "pair_quotas" in tables else {}
    return ANNOTATIONS | quotas


def tables_of(stages: Sequence[Stage]) -> dict[str, Source]:
    """All tables by name; `verdicts`, `opinions` and `dropped` are gathered from every stage, `stages` has a row for each."""
    named = tables_by_name(stages)
    gathered = {name: [named[part] for part in parts if part in named] for name, parts in GATHERED.items()}
    return {
        **named,
        **gathered,
        "dropped": [stage.dropped for stage in stages],
        "stages": stage_rows(stages),
    }


def datasets(config: Config) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Path, query and parameters of each of the release's Parquet files that a query makes."""
    by_responder = {"qa": query("release_qa"), "dual": query("release_dual"), "single": query("release_single")}
    for split in SPLITS:
        yield f"prompts/{split}.parquet", query("release_prompts"), {"split": split}
        for responder in config.responders:
            for name, selected in by_responder.items():
                path = f"{name}/{responder.name}/{split}.parquet"
                yield path, selected, {"split": split, "responder": responder.name}


def stage_rows(stages: Sequence[Stage]) -> pa.Table:
    """One row per stage: rows in, kept and dropped, and what its model work cost in this run."""
    rows = [
        {
            "stage": stage.name,
            "grain": stage.grain,
            "rows_in": stage.rows_in,
            "rows_kept": stage.rows_kept,
            "rows_dropped": stage.dropped.rows,
            **asdict(stage.cost),
            "work_seconds": stage.cost.seconds,
            "seconds": stage.seconds,
        }
        for stage in stages
    ]
    return pa.Table.from_pylist(rows, schema=STAGES)


def describe_files(uri: str, folder: str = "") -> Iterator[File]:
    """Path below `uri`, SHA-256, bytes and rows of every file in its `folder`; rows is None for what is not Parquet.

    What desktops leave there is left out.
    """
    there = storage.found_below(storage.join(uri, folder))
    found = {file: info for file, info in there.items() if not is_of_desktop(file)}
    fs = storage.reader(found, uri)
    for file, info in found.items():
        storage.refuse_pipe(file)
        with fs.open(storage.filesystem(file)[1], "rb") as stream:
            sha256 = storage.sha256_of(stream)
            rows = pq.ParquetFile(stream).metadata.num_rows if file.endswith(".parquet") else None
        yield {"path": file.removeprefix(f"{uri}/"), "sha256": sha256, "bytes": info["size"], "rows": rows}


def release_fingerprint(config: Config, stages: Sequence[Stage]) -> str:
    """What the release is made of, and what it is made and examined by: equal fingerprints mean equal releases."""
    tables = {name: source for name, source in tables_of(stages).items() if name != "stages"}
    sums = [(stage.name, stage.grain, stage.rows_in, stage.rows_kept, stage.dropped.rows) for stage in stages]
    settings = config.model_dump(mode="json", include={"name", "seed", "consensus", "review", "gate"})
    asked: list[Responder | Judge] = [*config.responders, *config.judges]
    models = [(model.name, model.engine.identity(), model.engine.weights()) for model in asked]
    return digest(of_everything(), settings, models, sums, warehouse.identities(tables))
