import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest

from flows.pipeline import main, pipeline
from tasks import config as configs
from tasks import tables
from tasks.release.candidate import release_fingerprint, tables_of, write_candidate
from tasks.release.release import Release, next_version, publish
from tasks.tables import HARM_CATEGORIES, Stage
from tasks.work.job import RunJob
from tests.conftest import asked, write_config
from tests.flows.here import run_here
from tests.served import ask_ours
from tests.waiting import until

Run = tuple[Path, Release, list[Stage]]
DUAL = {
    "prompt": "string",
    "response_0": "string",
    "response_1": "string",
    "prompt_source": "string",
    "response_0_source": "string",
    "response_1_source": "string",
    "is_response_0_safe": "bool",
    "is_response_1_safe": "bool",
    "response_0_harm_category": None,
    "response_1_harm_category": None,
    "response_0_severity_level": "int64",
    "response_1_severity_level": "int64",
    "better_response_id": "int64",
    "safer_response_id": "int64",
    "response_0_sha256": "string",
    "response_1_sha256": "string",
}


def manifest(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(release.uri) / "manifest.json").read_text())
    return found


def test_every_file_of_a_release_is_in_its_manifest_and_the_pointer_leads_there(scripted_run: Run) -> None:
    folder, release, _ = scripted_run
    root = Path(release.uri)
    listed = {file["path"]: file["sha256"] for file in manifest(release)["files"]}
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    assert set(listed) == set(found) - {"manifest.json"}
    assert all(hashlib.sha256(found[path].read_bytes()).hexdigest() == sha256 for path, sha256 in listed.items())
    pointer = json.loads((folder / "storage/releases/latest.json").read_text())
    digest = hashlib.sha256((root / "manifest.json").read_bytes()).hexdigest()
    assert pointer == {"version": release.version, "manifest_sha256": digest}


@pytest.mark.parametrize(
    "name", ["dual", "single", "qa", "prompts", "dual-scripted-a", "single-scripted-b", "qa-scripted-b"]
)
def test_datasets_loads_every_config_with_both_splits(scripted_run: Run, tmp_path: Path, name: str) -> None:
    loaded = datasets.load_dataset(scripted_run[1].uri, name, cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "test"}
    assert sum(len(loaded[split]) for split in loaded) > 0


def test_dual_has_the_columns_and_types_of_the_reference(scripted_run: Run, tmp_path: Path) -> None:
    features = datasets.load_dataset(scripted_run[1].uri, cache_dir=str(tmp_path))["train"].features
    assert list(features) == list(DUAL)
    assert all(features[name].dtype == dtype for name, dtype in DUAL.items() if dtype)
    assert list(features["response_0_harm_category"]) == list(HARM_CATEGORIES)


def test_every_table_has_its_columns_and_a_key_that_is_unique(scripted_run: Run) -> None:
    known = {table.name: table for table in vars(tables).values() if isinstance(table, tables.Table)}
    for stage in scripted_run[2]:
        for name, ref in stage.tables.items():
            table = known.get({"model_labels": "screened_labels"}.get(name, name)) or known[name.rsplit("_", 1)[-1]]
            rows = duckdb.read_parquet(ref.uri)
            assert rows.columns == table.schema.names
            assert len(rows.select(*table.key).distinct().fetchall()) == ref.rows == len(rows)


def test_nothing_vanishes(scripted_run: Run) -> None:
    _, release, stages = scripted_run
    assert all(stage.rows_in == stage.rows_kept + stage.dropped.rows for stage in stages)
    dropped = duckdb.read_parquet(f"{release.uri}/dropped.parquet").fetchall()
    assert len(dropped) == sum(stage.dropped.rows for stage in stages)


def test_the_same_run_asked_twice_does_no_model_work_and_no_second_release(scripted_run: Run) -> None:
    folder, release, _ = scripted_run
    before = asked(folder)
    again, stages = pipeline(str(folder / "config.toml"))
    assert asked(folder) == before
    assert sum(stage.cost.asked for stage in stages) == 0
    assert again.version == release.version
    assert len(before) == len(set(before))


def test_a_new_prompt_costs_only_its_own_requests(scripted_run: Run, tmp_path: Path) -> None:
    folder, release, _ = scripted_run
    shutil.copytree(folder / "storage", tmp_path / "storage")
    prompts = [f"How do I plant {number} tulips?" for number in range(12)]
    config = configs.load(str(write_config(tmp_path, [*prompts, "Why do tulips close at night?"])))
    stages = run_here(config)
    assert {stage.name: stage.cost.asked for stage in stages}["prompts_to_responses"] == 6
    fingerprint = release_fingerprint(config, stages)
    version = next_version(config.storage, fingerprint)
    candidate = write_candidate(config, stages, version, fingerprint, config.storage)
    second = publish(config, candidate, candidate.files, {"said": "passed"}, None, stages, config.storage)
    assert manifest(second)["parent"] == release.version
    rows = duckdb.read_parquet(f"{tmp_path}/storage/releases/*/prompts/*.parquet").aggregate("count(*)").fetchone()
    assert rows == (25,)


def test_a_judge_that_gives_garbage_costs_its_rows_and_never_the_run(tmp_path: Path) -> None:
    stages = run_here(configs.load(str(write_config(tmp_path, garbage_every=3))))
    verdicts = tables_of(stages)["verdicts"]
    assert isinstance(verdicts, list)
    problems = dict(duckdb.read_parquet([ref.uri for ref in verdicts]).aggregate("problem, count(*)").fetchall())
    assert problems[None] > problems["not a JSON object"] > 0
    assert all(stage.rows_in == stage.rows_kept + stage.dropped.rows for stage in stages)
    assert stages[-1].rows_kept > 0


OPENED: list[str] = []


def note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        OPENED.append(str(arguments[0]))


def test_a_refused_release_exits_with_3_moves_no_pointer_and_keeps_its_candidate_and_reads_the_prompts_once(
    tmp_path: Path,
    cluster: RunJob,
    prefect_server: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["flows.pipeline", str(write_config(tmp_path, garbage_every=1))])
    sys.addaudithook(note_open)
    OPENED.clear()
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 3
    assert "qa.not_empty violated (critical)" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "storage/releases").exists()
    assert list((tmp_path / "storage/candidates").glob("*/gate/verdict.json"))
    assert OPENED.count(str(tmp_path / "prompts.jsonl")) == 1


def everything(path: str) -> Iterator[dict[str, Any]]:
    """All that a server holds of one kind, page by page."""
    offset = 0
    while page := ask_ours(path, offset=offset):
        yield from page
        offset += len(page)


def test_no_prompt_and_no_answer_reaches_prefect(scripted_run: Run) -> None:
    answers = pq.read_table(f"{scripted_run[1].uri}/annotations/responses.parquet")["response"].to_pylist()
    # Logs reach the server some time after, in the order in which they were sent.
    mark = f"mark {uuid4()}"
    (run, *_) = ask_ours("/flow_runs/filter")
    logging.getLogger("prefect.flow_runs").info(mark, extra={"flow_run_id": run["id"]})
    until(lambda: mark in json.dumps(ask_ours("/logs/filter", sort="TIMESTAMP_DESC")), what="logs reach the server")
    logs, artifacts = list(everything("/logs/filter")), list(everything("/artifacts/filter"))
    assert "tasks.work.store" in {log["name"] for log in logs}
    assert "gate" in {artifact["key"] for artifact in artifacts}
    seen = json.dumps([logs, artifacts], ensure_ascii=False)
    assert "tulips" not in seen
    assert not any(answer in seen for answer in answers)
