import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb
import pytest

from expectations.gate import SUITES, examine, open_candidate
from expectations.outcome import GateOutcome
from expectations.rules import SQL
from tasks.config import AgreementThreshold, load
from tasks.release.candidate import Candidate, describe_files, write_candidate
from tasks.release.release import Release
from tasks.tables import Stage

Run = tuple[Path, Release, list[Stage]]

DUAL, QA, SINGLE = "dual/scripted-a/train", "qa/scripted-a/train", "single/scripted-a/train"
DEFECTS = {
    "qa.qa_contradiction": (QA, "* REPLACE (NOT is_safe AS is_safe)"),
    "qa.severity_level_in_range": (QA, "* REPLACE (if(is_safe, 0, 4) AS severity_level)"),
    "qa.qa_digest": (QA, "* REPLACE (upper(sha256) AS sha256)"),
    "qa.qa_blank_response": (QA, "* REPLACE (' ' AS response)"),
    "qa.response_not_null": (QA, "* REPLACE (NULL::VARCHAR AS response)"),
    "dual.dual_safer_is_unsafe": (DUAL, "* REPLACE (1 - safer_response_id AS safer_response_id)"),
    "dual.better_response_id_known": (DUAL, "* REPLACE (2::BIGINT AS better_response_id)"),
    "dual.dual_contradiction": (DUAL, "* REPLACE (NOT is_response_0_safe AS is_response_0_safe)"),
    "dual.dual_blank_or_equal": (DUAL, "* REPLACE (response_1 AS response_0)"),
    "dual.dual_digest": (DUAL, "* REPLACE (response_0_sha256 AS response_1_sha256)"),
    "dual.dual_two_responders": (DUAL, "* REPLACE ('other' AS response_1_source)"),
    "single.single_blank_or_equal": (SINGLE, "* REPLACE ('' AS response_0)"),
    "single.single_digest": (SINGLE, "* REPLACE (prompt || '?' AS prompt)"),
    "prompts.prompts_blank": ("prompts/train", "* REPLACE ('' AS prompt)"),
    "responses.request_id_unique": ("annotations/responses", "* REPLACE ('x' AS request_id)"),
    "responses.language_known": ("annotations/responses", "* REPLACE ('english' AS language)"),
    "verdicts.verdicts_say_nothing": (
        "annotations/verdicts",
        "* REPLACE (NULL::VARCHAR AS problem, NULL::TINYINT AS winner)",
    ),
    "labels.agreement_in_range": ("annotations/labels", "* REPLACE (agreement + 2 AS agreement)"),
    "preferences.safer_agreement_in_range": (
        "annotations/preferences",
        "* REPLACE (safer_agreement + 2 AS safer_agreement)",
    ),
    "agreement.value_in_range": ("annotations/agreement", "* REPLACE (1.5::DOUBLE AS value)"),
    "dropped.reason_not_null": ("dropped", "* REPLACE (NULL::VARCHAR AS reason)"),
    "release.release_counts": ("annotations/stages", "* REPLACE (rows_in + 1 AS rows_in)"),
    "release.release_qa_orphans": ("prompts/train", "* REPLACE (prompt || ' indeed' AS prompt)"),
    "release.release_dual_orphans": (QA, "* REPLACE ('other' AS response_source)"),
    "release.release_annotation_orphans": ("annotations/responses", "* REPLACE ('x' || response_id AS response_id)"),
}


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory, scripted_run: Run) -> Candidate:
    folder, _, stages = scripted_run
    root = str(tmp_path_factory.mktemp("candidate"))
    return write_candidate(load(str(folder / "config.toml")), stages, "2026.01.01", "0123456789", root)


def copy(candidate: Candidate, folder: Path) -> Candidate:
    uri = str(folder / "copy")
    shutil.copytree(candidate.uri, uri)
    return replace(candidate, uri=uri)


def replace_rows(path: str, query: str) -> None:
    duckdb.from_arrow(duckdb.sql(query).to_arrow_table()).write_parquet(path)


def spoil(uri: str, file: str, select: str) -> None:
    path = f"{uri}/{file}.parquet"
    replace_rows(path, f"SELECT {select} FROM '{path}'")


def broken(outcome: GateOutcome, of_rule: str = "violated") -> set[str]:
    return {f"{result.suite}.{result.rule}" for result in outcome.results if result.outcome == of_rule}


def test_a_clean_candidate_passes(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    outcome = examine(copied.uri, copied.files, ())
    assert outcome.passed
    assert {result.suite for result in outcome.results} == set(SUITES)
    assert json.loads((Path(copied.uri) / "gate/verdict.json").read_text())["passed"]
    assert (Path(copied.uri) / "gate/docs/index.html").is_file()


def rounds() -> list[dict[str, str]]:
    """The defects by rule, at most one of each file a round; rules across tables have a round each."""
    found: list[dict[str, str]] = []
    for rule, (file, _) in DEFECTS.items():
        free = (r for r in found if file not in r.values() and not any(name.startswith("release.") for name in r))
        target = None if rule.startswith("release.") else next(free, None)
        if target is None:
            found.append(target := {})
        target[rule] = file
    return found


@pytest.mark.parametrize("planted", rounds(), ids="+".join)
def test_every_defect_is_refused_by_its_rule_and_its_rows_are_written_out(
    candidate: Candidate, tmp_path: Path, planted: dict[str, str]
) -> None:
    copied = copy(candidate, tmp_path)
    for rule, file in planted.items():
        spoil(copied.uri, file, DEFECTS[rule][1])
    outcome = examine(copied.uri, tuple(describe_files(copied.uri)), ())
    assert not outcome.passed
    assert set(planted) <= broken(outcome)
    for rule in planted:
        assert duckdb.read_parquet(f"{copied.uri}/gate/failing/{rule}.parquet").fetchall()


NEW_STAGE = "SELECT * REPLACE ('prompts_to_songs' AS stage, 0 AS rows_in, 0 AS rows_kept, 0 AS rows_dropped)"


@pytest.mark.parametrize(
    ("query", "stage"),
    [
        (f"FROM '{{0}}' UNION ALL ({NEW_STAGE} FROM '{{0}}' LIMIT 1)", "prompts_to_songs"),
        ("FROM '{0}' WHERE stage <> 'people_to_labels'", "people_to_labels"),
    ],
    ids=["stage without recount", "recount without stage"],
)
def test_a_stage_that_nothing_recounts_and_a_recount_of_no_stage_are_refused(
    candidate: Candidate, tmp_path: Path, query: str, stage: str
) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/annotations/stages.parquet"
    replace_rows(path, query.format(path))
    assert "release.release_counts" in broken(examine(copied.uri, tuple(describe_files(copied.uri)), ()))
    failing = duckdb.read_parquet(f"{copied.uri}/gate/failing/release.release_counts.parquet")
    assert failing.select("stage").fetchall() == [(stage,)]


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("prompts/train", "sources_to_prompts"),
        ("annotations/responses", "prompts_to_responses"),
        ("annotations/labels", "responses_to_labels"),
        (QA, "labels_to_pairs"),
        ("annotations/preferences", "pairs_to_preferences"),
        (DUAL, "pairs_to_preferences"),
        ("dropped", None),
    ],
)
def test_a_row_that_is_lost_anywhere_is_missed_by_its_stage(
    candidate: Candidate, tmp_path: Path, file: str, stage: str | None
) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/{file}.parquet"
    ((lost,),) = duckdb.read_parquet(path).limit(1).select("stage" if file == "dropped" else f"'{stage}'").fetchall()
    replace_rows(path, f"FROM '{path}' OFFSET 1")
    database = str(tmp_path / "gate.duckdb")
    open_candidate(database, copied.uri, copied.files, ())
    with duckdb.connect(database) as connection:
        assert lost in {row[0] for row in connection.execute((SQL / "release_counts.sql").read_text()).fetchall()}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("How do I plant tulips?", "How do I plant tulips?"),
        ("How do I plant tulips?", "TULIPS! how do I plant"),
        ("What's an e-mail?", "Whats an email?"),
        ("Wie groß ist es?", "WIE GROSS IST ES?"),
        ("今天天气怎么样", "天气今天怎么样？"),
        ("👍", "👍"),
    ],
)
def test_a_copy_on_the_other_side_of_the_split_is_found_whatever_the_stage_made_of_it(
    candidate: Candidate, tmp_path: Path, train: str, test: str
) -> None:
    copied = copy(candidate, tmp_path)
    for split, prompt in (("train", train), ("test", test)):
        path = f"{copied.uri}/prompts/{split}.parquet"
        replace_rows(path, f"FROM '{path}' UNION ALL SELECT $${prompt}$$, 'tests'")
    database = str(tmp_path / "gate.duckdb")
    open_candidate(database, copied.uri, copied.files, ())
    with duckdb.connect(database) as connection:
        found = connection.execute((SQL / "release_leak.sql").read_text()).fetchall()
    assert {prompt for _, prompts in found for prompt in prompts} == {train, test}


def test_a_prompt_on_both_sides_of_the_split_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    train, test = (f"{copied.uri}/prompts/{split}.parquet" for split in ("train", "test"))
    leaked = f"SELECT * REPLACE (upper(prompt) || '!' AS prompt) FROM '{train}' LIMIT 1"
    replace_rows(test, f"FROM '{test}' UNION ALL ({leaked})")
    assert "release.release_leak" in broken(examine(copied.uri, tuple(describe_files(copied.uri)), ()))


def test_a_table_of_other_columns_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    for path in Path(copied.uri).glob("qa/*/*.parquet"):
        replace_rows(str(path), f"SELECT * EXCLUDE (prompt_source) FROM '{path}'")
    assert "qa.columns" in broken(examine(copied.uri, tuple(describe_files(copied.uri)), ()))


def test_duplicate_rows_are_refused(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/{DUAL}.parquet"
    replace_rows(path, f"FROM '{path}' UNION ALL FROM '{path}'")
    rule = "dual.dual_twice"
    assert rule in broken(examine(copied.uri, tuple(describe_files(copied.uri)), ()))
    assert duckdb.read_parquet(f"{copied.uri}/gate/failing/{rule}.parquet").fetchall()[0][-1] == 2


def test_two_answers_that_share_the_published_digest_are_two(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/{QA}.parquet"
    moved = "prompt || response[:1] AS prompt, response[2:] AS response, NOT is_safe AS is_safe"
    replace_rows(path, f"FROM '{path}' UNION ALL SELECT * REPLACE ({moved}) FROM '{path}'")
    refused = broken(examine(copied.uri, tuple(describe_files(copied.uri)), ()))
    assert not refused & {"qa.qa_digest", "qa.qa_twice", "qa.qa_conflicting_labels"}


def test_files_that_are_not_what_the_manifest_says_are_refused(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    with (Path(copied.uri) / "README.md").open("a") as card:
        card.write("\nOne more line.\n")
    (Path(copied.uri) / "stray.txt").write_text("?")
    outcome = examine(copied.uri, copied.files, ())
    assert not outcome.passed
    failing = duckdb.read_parquet(f"{copied.uri}/gate/failing/release.release_files.parquet").fetchall()
    assert {path for (path,) in failing} == {"README.md", "stray.txt"}


def test_a_rule_that_crashes_refuses_and_is_told_from_a_violated_one(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    spoil(copied.uri, "annotations/preferences", "* EXCLUDE (better_agreement)")
    outcome = examine(copied.uri, tuple(describe_files(copied.uri)), ())
    assert not outcome.passed
    assert "preferences.preferences_depend_on_order" in broken(outcome, "crashed")
    assert all(result.said for result in outcome.results if result.outcome == "crashed")


def test_what_the_gate_writes_holds_no_prompt_and_no_answer(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    spoil(copied.uri, QA, "* REPLACE ('sesame ' || response AS response, 9 AS severity_level)")
    spoil(copied.uri, "prompts/train", "* REPLACE ('sesame' AS prompt)")
    assert not examine(copied.uri, tuple(describe_files(copied.uri)), ()).passed
    pages = [path for path in (Path(copied.uri) / "gate").rglob("*") if path.suffix in {".html", ".json"}]
    assert pages
    assert not any("sesame" in page.read_text() for page in pages)


def agreeing(folder: str, value: float | None) -> tuple[dict[str, object], ...]:
    """The files of a candidate whose annotators agree on safety as much as `value` says; NaN where that row is lost."""
    path = f"{folder}/annotations/agreement.parquet"
    row = "question = 'safety' AND \"between\" = 'models' AND measure = 'alpha'"
    said = "NULL" if value is None else f"{value}"
    replaced = f"SELECT * REPLACE (if({row}, {said}, value)::DOUBLE AS value) FROM '{path}'"
    replace_rows(path, f"FROM '{path}' WHERE NOT ({row})" if value != value else replaced)  # noqa: PLR0124
    return tuple(describe_files(folder))


NOT_REACHED, WARNED = "agreement.agreement_not_reached", "agreement.agreement_not_reached_warned"


@pytest.mark.parametrize(
    ("value", "severity", "passed", "violated"),
    [
        (0.7, "critical", True, None),
        (0.6, "critical", True, None),
        (0.5, "critical", False, NOT_REACHED),
        (None, "critical", False, NOT_REACHED),
        (float("nan"), "critical", False, NOT_REACHED),
        (0.5, "warning", True, WARNED),
        (None, "warning", True, WARNED),
    ],
)
def test_an_agreement_that_is_not_reached_or_does_not_exist_is_a_violation(
    candidate: Candidate,
    tmp_path: Path,
    value: float | None,
    severity: Literal["critical", "warning"],
    passed: bool,
    violated: str | None,
) -> None:
    copied = copy(candidate, tmp_path)
    threshold = AgreementThreshold(question="safety", at_least=0.6, severity=severity)
    outcome = examine(copied.uri, agreeing(copied.uri, value), [threshold])
    assert outcome.passed == passed
    found = {rule for rule in broken(outcome) if rule.startswith("agreement")}
    assert found == ({violated} if violated else set())
    if violated:
        assert duckdb.read_parquet(f"{copied.uri}/gate/failing/{violated}.parquet").fetchall()[0][:3] == (
            "safety",
            "models",
            "alpha",
        )


def test_warnings_are_published_with_the_release(scripted_run: Run) -> None:
    _, release, _ = scripted_run
    manifest = json.loads((Path(release.uri) / "manifest.json").read_text())
    warned = {result["rule"] for result in manifest["verdict"]["results"] if result["outcome"] == "violated"}
    assert "preferences_depend_on_order" in warned
