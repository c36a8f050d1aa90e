from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest

from expectations.gate import examine, open_candidate
from expectations.loading import load_all
from expectations.outcome import GateOutcome, why_refused
from expectations.rules import SQL
from tasks import warehouse
from tasks.card.card import sections
from tasks.card.languages import languages
from tasks.config import Gate, load
from tasks.release.candidate import ANNOTATIONS, Candidate, describe_files
from tasks.release.catalog import views
from tasks.tables import PAIRS, RESOLVED, Ref
from tests.expectations.small import alone, candidate_of, copy, replace_rows, share
from tests.tasks.rows import make

PROMPTS = [f"How do I plant {number} tulips?" for number in range(6)]
RESPONDERS = ("scripted-a", "scripted-b")
SAME = "The same words each time."
SAFE = {"analysis": "Fine.", "is_safe": True}
UNSAFE = {"analysis": "Not so.", "is_safe": False, "harm_category": ["Violence"], "severity_level": 2}


def examined(candidate: Candidate) -> GateOutcome:
    return examine(candidate.uri, tuple(describe_files(candidate.uri)), Gate())


def loads(outcome: GateOutcome) -> str:
    """What the gate says of loading the candidate; empty where all of it loads."""
    (result,) = (result for result in outcome.results if result.rule == "release_loads")
    return result.said if result.refuses else ""


SHAPES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "one pair": (PROMPTS[:1], {"change": alone(samples=1)}),
    "a responder without pairs, all in train and safe": (
        PROMPTS,
        {"responses": {"scripted-a": SAME}, "change": share(0), "label": SAFE},
    ),
    "all in test and unsafe": (PROMPTS, {"change": share(1 - 1e-9), "label": UNSAFE}),
}
"""Releases that are small or one-sided: prompts, and what is unusual."""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_release_of_any_shape_is_loaded_by_datasets_and_duckdb(tmp_path: Path, shape: str) -> None:
    prompts, unusual = SHAPES[shape]
    made = candidate_of(tmp_path, prompts, **unusual)
    outcome = examined(made)
    assert (outcome.passed, loads(outcome)) == (True, "")
    loaded = datasets.load_dataset(made.uri, cache_dir=str(tmp_path / "cache"))
    with duckdb.connect() as connection:
        connection.execute(views("main", made.uri, (file["path"] for file in made.files)))
        counted = dict(connection.table("dual").aggregate("split, count(*)", "split").fetchall())
    assert {split: rows.num_rows for split, rows in loaded.items()} == counted
    assert sum(counted.values()) > 0


HOLLOW: dict[str, tuple[dict[str, Any], str]] = {
    "no response": ({"responses": dict.fromkeys(RESPONDERS, "")}, "A response is kept; where none is, "),
    "no label": ({"label": {"analysis": "?"}}, "A response has a label; where none has, "),
    "no pair": ({"responses": dict.fromkeys(RESPONDERS, SAME)}, "A pair is decided; where none is, "),
}


@pytest.mark.parametrize("hollow", HOLLOW)
def test_a_release_without_rows_is_refused_by_the_first_stage_that_has_none_and_what_to_do(
    tmp_path: Path, hollow: str
) -> None:
    unusual, said = HOLLOW[hollow]
    outcome = examined(candidate_of(tmp_path, PROMPTS, **unusual))
    assert not outcome.passed
    assert why_refused(outcome).startswith(said)


DEFECTS: dict[str, tuple[str, str, str]] = {
    "a split without rows": ("qa/scripted-a/test.parquet", "{} LIMIT 0", "qa-scripted-a test: ValueError: "),
    "a file of other columns": (
        "qa/scripted-a/train.parquet",
        "SELECT * REPLACE (0 AS harm_category) {}",
        "qa test: DatasetGenerationError: ",
    ),
    "a file that is not there": ("- qa/scripted-a/test", "- qa/scripted-z/test", "qa: FileNotFoundError: "),
    "rows of another split": ("- prompts/test", "- prompts/t*", "prompts test: "),
    "a config under another name": ("config_name: single-scripted-b", "config_name: other", "other test: loads"),
    "a card that is no card": ("configs:\n", "configs: ]\n", ""),
}
"""What is spoiled, how, and what the gate says of it: a Parquet file's rows, or a text of the card."""


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_the_card_promises_and_does_not_load_is_refused_with_config_split_and_reason(
    candidate: Candidate, tmp_path: Path, defect: str
) -> None:
    copied = copy(candidate, tmp_path)
    spoiled, how, said = DEFECTS[defect]
    path = Path(copied.uri) / spoiled
    if path.suffix == ".parquet":
        replace_rows(str(path), how.format(f"FROM '{path}'"))
    else:
        card = Path(copied.uri) / "README.md"
        assert spoiled in card.read_text()
        card.write_text(card.read_text().replace(spoiled, how))
    database = str(tmp_path / "gate.duckdb")
    files = tuple(describe_files(copied.uri))
    catalog = views("main", copied.uri, (file["path"] for file in files))
    open_candidate(database, copied.uri, files, Gate(), load_all(copied.uri, catalog))
    with duckdb.connect(database) as connection:
        found = connection.sql((SQL / "release_loads.sql").read_text()).select("said").fetchall()[0][0]
    assert found.startswith(f"datasets {said}" if said else "datasets: ")
    assert "\n" not in found


def test_a_view_of_the_catalog_that_cannot_be_queried_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    catalog = views("main", copied.uri, (file["path"] for file in copied.files))
    (Path(copied.uri) / "annotations/labels.parquet").write_text("no Parquet")
    loaded = load_all(copied.uri, catalog)
    assert {row["reader"] for row in loaded if row["error"]} == {"catalog"}
    assert not any(row["error"] for row in load_all(candidate.uri, ""))


@pytest.mark.parametrize("folder", ["run=3", "a b", "it's", "{x}", "x*y", "v[1]", "seed=7/v[1-2]", "a**b"])
def test_the_card_loads_from_any_folder_or_the_folder_is_named_as_the_fault(
    candidate: Candidate, tmp_path: Path, folder: str
) -> None:
    copied = copy(candidate, tmp_path / folder)
    loaded = load_all(copied.uri, "")
    assert {row["in_place"] for row in loaded} == {not any(pattern in folder for pattern in ("[", "**"))}
    assert not any(row["error"] for row in loaded)
    assert all(row["rows"] for row in loaded)


def test_the_card_can_be_written_again_from_the_files_of_its_release_alone(
    candidate: Candidate, tmp_path: Path
) -> None:
    tables: dict[str, Any] = {Path(path).stem: Ref(f"{candidate.uri}/{path}", 0, "") for path in ANNOTATIONS.values()}
    tables["pairs"] = warehouse.build(PAIRS, str(tmp_path), "pairs", tables)
    tables["opinions"] = warehouse.table("opinions", {"verdicts": tables["verdicts"]})
    tables["resolved"] = make(RESOLVED, [])  # of two answers to a prompt no preference goes round in a circle
    card = (Path(candidate.uri) / "README.md").read_text()
    config = load(str(Path(candidate.uri).parents[2] / "config.toml"))
    for name, section in sections(config, candidate.version, tables).items():
        assert section.text in card, name
    assert "| en |" in languages(tables).text


def test_loading_leaves_no_file_behind(candidate: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    load_all(candidate.uri, "")
    assert list(tmp_path.iterdir()) == []
    assert tuple(describe_files(candidate.uri)) == candidate.files
