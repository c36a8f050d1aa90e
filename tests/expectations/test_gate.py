import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb
import pyarrow as pa
import pytest

from expectations import agreement
from expectations.failing import failing_rows
from expectations.gate import FILES, RECOUNT_COLUMNS, SUITES, examine, open_candidate, recounts
from expectations.outcome import GateOutcome, RuleResult
from expectations.rules import SQL
from tasks.config import AgreementThreshold, EngineErrors, Gate
from tasks.release.candidate import Candidate, describe_files
from tasks.release.release import Release
from tasks.tables import Stage
from tests.expectations.small import copy, replace_rows

Run = tuple[Path, Release, list[Stage]]

DUAL, QA, SINGLE = "dual/scripted-a/train", "qa/scripted-a/train", "single/scripted-a/train"
RESPONSES, VERDICTS, AGREEMENT = "annotations/responses", "annotations/verdicts", "annotations/agreement"
ANNOTATED = "annotations/prompts"


class Defect(NamedTuple):
    """What is spoiled in one row of a file: some of its columns; `doubled` is a row beside the one that it is like.

    It is the first row that meets `where` and that no other defect has.
    """

    file: str
    spoiled: str = ""
    doubled: bool = False
    where: str = "TRUE"


LEAKED = "(SELECT upper(prompt) || '!' FROM '{uri}/qa/scripted-b/train.parquet' LIMIT 1)"
SAFETY, SEVERITY = (
    f"question = '{q}' AND \"between\" = 'models' AND measure = 'alpha'" for q in ("safety", "severity")
)
DEFECTS = {
    "qa.qa_contradiction": Defect(QA, "is_safe = NOT is_safe"),
    "qa.severity_level_in_range": Defect(QA, "severity_level = 4", where="NOT is_safe"),
    "qa.qa_digest": Defect(QA, "sha256 = upper(sha256)"),
    "qa.qa_blank_response": Defect(QA, "response = ' '"),
    "qa.response_not_null": Defect(QA, "response = NULL"),
    "qa.qa_twice": Defect(QA, doubled=True),
    "qa.qa_conflicting_labels": Defect(QA, "severity_level = (severity_level + 1) % 4", doubled=True),
    "dual.dual_safer_is_unsafe": Defect(
        DUAL, "is_response_0_safe = TRUE, is_response_1_safe = FALSE, safer_response_id = 1"
    ),
    "dual.better_response_id_known": Defect(DUAL, "better_response_id = 2"),
    "dual.dual_contradiction": Defect(DUAL, "is_response_0_safe = NOT is_response_0_safe"),
    "dual.dual_blank_or_equal": Defect(DUAL, "response_0 = response_1"),
    "dual.dual_digest": Defect(DUAL, "response_1_sha256 = response_0_sha256"),
    "dual.dual_two_responders": Defect(DUAL, "response_1_source = 'other'"),
    "dual.dual_twice": Defect(DUAL, doubled=True),
    "dual.dual_mirrored": Defect(DUAL, "response_0 = response_1, response_1 = response_0", doubled=True),
    "single.single_blank_or_equal": Defect(SINGLE, "response_0 = ''"),
    "single.single_digest": Defect(SINGLE, "prompt = prompt || '?'"),
    "single.single_twice": Defect(SINGLE, doubled=True),
    "prompts.prompts_blank": Defect("prompts/train", "prompt = ''"),
    "prompts.prompt_unique": Defect("prompts/train", doubled=True),
    "annotated_prompts.language_known": Defect(ANNOTATED, "language = 'english'"),
    "annotated_prompts.split_known": Defect(ANNOTATED, "split = 'Train'"),
    "annotated_prompts.prompt_id_unique": Defect(ANNOTATED, doubled=True),
    "responses.request_id_unique": Defect(RESPONSES, doubled=True),
    "responses.language_known": Defect(RESPONSES, "language = 'english'"),
    "verdicts.verdicts_say_nothing": Defect(VERDICTS, "is_safe = NULL, winner = NULL, problem = NULL"),
    "verdicts.verdict_id_question_unique": Defect(VERDICTS, doubled=True),
    "labels.agreement_in_range": Defect("annotations/labels", "agreement = agreement + 2"),
    "preferences.safer_agreement_in_range": Defect("annotations/preferences", "safer_agreement = safer_agreement + 2"),
    "agreement.value_in_range": Defect(AGREEMENT, "value = 1.5"),
    "agreement.agreement_not_reached": Defect(AGREEMENT, "value = 0.55", where=SAFETY),
    "agreement.agreement_not_reached_warned": Defect(AGREEMENT, "value = 0.45", where=SEVERITY),
    "dropped.reason_not_null": Defect("dropped", "reason = NULL"),
    "release.release_counts": Defect("annotations/stages", "rows_in = rows_in + 1", where="stage = 'people_to_labels'"),
    "release.release_leak": Defect("prompts/test", f"prompt = {LEAKED}"),
    "release.release_prompt_orphans": Defect(ANNOTATED, "prompt_source = 'elsewhere'"),
    "release.release_qa_orphans": Defect(QA, "prompt = prompt || ' indeed'"),
    "release.release_dual_orphans": Defect(QA, "response_source = 'other'"),
    "release.release_single_orphans": Defect(SINGLE, "response_0_source = 'other'"),
    "release.release_annotation_orphans": Defect(RESPONSES, "response_id = 'x' || response_id"),
    "release.release_engine_errors": Defect("dropped", "reason = 'engine error'"),
    "release.release_engine_errors_warned": Defect(VERDICTS, "problem = 'engine error'"),
    "release.release_filtered_warned": Defect("dropped", "reason = 'filtered'"),
    "release.release_cut_off_warned": Defect("dropped", "reason = 'unfinished thinking'"),
    "release.release_too_long_warned": Defect("dropped", "reason = 'too long'"),
    "release.release_missing_answers": Defect(RESPONSES, "response = 'Never said.'"),
}
KEYS = {
    "annotations/prompts": ("prompt_id", "prompt"),
    "prompts": ("prompt",),
    "qa": ("sha256",),
    "dual": ("response_0_sha256",),
    "single": ("response_0_sha256",),
    "responses": ("request_id", "response_id"),
    "verdicts": ("verdict_id", "annotator"),
    "labels": ("response_id",),
    "preferences": ("pair_id",),
    "agreement": ("value",),
    "stages": ("stage",),
    "dropped": ("id", "responder"),
}
"""What tells the rows of a table apart, wherever they are shown."""
THRESHOLDS = (
    AgreementThreshold(question="safety", at_least=0.6, severity="critical"),
    AgreementThreshold(question="severity", at_least=0.5, severity="warning"),
)
ASKED = Gate(agreement=THRESHOLDS, engine_errors=EngineErrors(warning=0, critical=0.005))


def plant(uri: str) -> dict[str, set[object]]:
    """Spoil the candidate at `uri` with every defect, each in a row of its own; the keys of that row, before and after."""
    planted: dict[str, set[object]] = {}
    for file in dict.fromkeys(defect.file for defect in DEFECTS.values()):
        path, taken = f"{uri}/{file}.parquet", [0]
        keys = next(keys for table, keys in KEYS.items() if table == file or table in file.split("/"))
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE rows AS SELECT row_number() OVER () AS place, * FROM '{path}'")
            for rule, (_, spoiled, doubled, where) in ((r, d) for r, d in DEFECTS.items() if d.file == file):
                unused = f"({where}) AND place > 0 AND NOT list_contains({taken}, place)"
                place: int = connection.execute(f"SELECT min(place) FROM rows WHERE {unused}").fetchall()[0][0]
                taken.append(place)
                shown = f"SELECT {', '.join(keys)} FROM rows WHERE place = {place}"
                planted[rule] = {key for row in connection.execute(shown).fetchall() for key in row}
                if doubled:
                    connection.execute(
                        f"INSERT INTO rows SELECT * REPLACE (-{place} AS place) FROM rows WHERE place = {place}"
                    )
                    place = -place
                if spoiled:
                    connection.execute(f"UPDATE rows SET {spoiled.replace('{uri}', uri)} WHERE place = {place}")
                planted[rule] |= {key for row in connection.execute(shown).fetchall() for key in row}
            connection.table("rows").project("* EXCLUDE (place)").write_parquet(path)
    return planted


@dataclass(frozen=True)
class Spoiled:
    """A candidate with every defect, which rows have it, and what the gate says."""

    uri: str
    planted: dict[str, set[object]]
    outcome: GateOutcome

    def result(self, rule: str) -> RuleResult:
        (found,) = (result for result in self.outcome.results if f"{result.suite}.{result.rule}" == rule)
        return found

    def failing(self, rule: str) -> list[tuple[Any, ...]]:
        return duckdb.read_parquet(f"{self.uri}/gate/failing/{rule}.parquet").fetchall()


@pytest.fixture(scope="module")
def spoiled(candidate: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Spoiled:
    uri = copy(candidate, tmp_path_factory.mktemp("spoiled")).uri
    planted = plant(uri)
    replace_rows(f"{uri}/single/scripted-b/test.parquet", f"FROM '{uri}/single/scripted-b/test.parquet' LIMIT 0")
    files = tuple(describe_files(uri))
    with (Path(uri) / "README.md").open("a") as card:
        card.write("\nOne more line.\n")
    (Path(uri) / "stray.txt").write_text("?")
    return Spoiled(uri, planted, examine(uri, files, ASKED))


def broken(outcome: GateOutcome, of_rule: str = "violated") -> set[str]:
    return {f"{result.suite}.{result.rule}" for result in outcome.results if result.outcome == of_rule}


def values(rows: list[tuple[Any, ...]]) -> Iterator[object]:
    """All words and numbers that stand in rows, also in lists."""
    for row in rows:
        for value in row:
            yield from value if isinstance(value, list) else [] if isinstance(value, dict) else [value]


def test_a_clean_candidate_passes_and_is_published_with_its_warnings(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    outcome = examine(copied.uri, copied.files, Gate(agreement=THRESHOLDS[1:]))
    assert outcome.passed
    assert {result.suite for result in outcome.results} == set(SUITES)
    assert not any(result.refuses for result in outcome.results)
    assert "agreement.agreement_not_reached_warned" in broken(outcome)
    assert not broken(outcome) & {rule for rule in DEFECTS if not rule.endswith("_warned")}
    assert json.loads((Path(copied.uri) / "gate/verdict.json").read_text())["passed"]
    assert (Path(copied.uri) / "gate/docs/index.html").is_file()


@pytest.mark.parametrize("rule", DEFECTS)
def test_every_defect_is_refused_by_its_rule_and_its_row_is_written_out(spoiled: Spoiled, rule: str) -> None:
    result = spoiled.result(rule)
    assert (result.outcome, result.refuses) == ("violated", not rule.endswith("_warned"))
    assert (spoiled.planted[rule] - {None}) & set(values(spoiled.failing(rule)))


def test_a_spoiled_candidate_is_refused_and_the_verdict_says_what_each_rule_said(spoiled: Spoiled) -> None:
    written = json.loads((Path(spoiled.uri) / "gate/verdict.json").read_text())
    assert (spoiled.outcome.passed, written["passed"]) == (False, False)
    assert [result["said"] for result in written["results"]] == [result.said for result in spoiled.outcome.results]


def test_what_does_not_load_is_named_with_its_config_its_split_and_what_datasets_says(spoiled: Spoiled) -> None:
    result = spoiled.result("release.release_loads")
    assert result.refuses
    assert result.said.startswith("datasets single-scripted-b test: ValueError: ")


def test_a_repeated_row_is_written_out_with_how_often_it_stands_there(spoiled: Spoiled) -> None:
    assert [row[-1] for row in spoiled.failing("dual.dual_twice")] == [2]


def test_files_that_are_not_what_the_manifest_says_are_refused(spoiled: Spoiled) -> None:
    assert spoiled.result("release.release_files").refuses
    assert set(values(spoiled.failing("release.release_files"))) == {"README.md", "stray.txt"}


def test_what_the_gate_writes_holds_no_prompt_and_no_answer(spoiled: Spoiled) -> None:
    texts = {
        text[:16].lower()
        for text in values(duckdb.sql(f"SELECT prompt, response FROM '{spoiled.uri}/qa/*/*.parquet'").fetchall())
        if isinstance(text, str) and text.strip()
    }
    pages = [path for path in (Path(spoiled.uri) / "gate").rglob("*") if path.suffix in {".html", ".json"}]
    assert texts
    assert any(path.suffix == ".html" for path in pages)
    for page in pages:
        shown = page.read_text().lower()
        assert not [text for text in texts if text in shown]


def test_a_table_of_other_columns_is_refused_and_a_crashed_rule_is_told_from_a_violated_one(
    candidate: Candidate, tmp_path: Path
) -> None:
    copied = copy(candidate, tmp_path)
    for path in Path(copied.uri).glob("qa/*/*.parquet"):
        replace_rows(str(path), f"SELECT * EXCLUDE (prompt_source) FROM '{path}'")
    path = Path(copied.uri) / "annotations/preferences.parquet"
    replace_rows(str(path), f"SELECT * EXCLUDE (better_agreement) FROM '{path}'")
    outcome = examine(copied.uri, tuple(describe_files(copied.uri)), Gate())
    assert not outcome.passed
    assert "qa.columns" in broken(outcome)
    assert "preferences.preferences_depend_on_order" in broken(outcome, "crashed")
    assert all(result.said and result.refuses for result in outcome.results if result.outcome == "crashed")


def opened(candidate: Candidate, folder: Path, asked: Gate = ASKED) -> duckdb.DuckDBPyConnection:
    """The gate's database of a candidate, without what loads."""
    database = str(folder / "gate.duckdb")
    open_candidate(database, candidate.uri, candidate.files, asked, [])
    return duckdb.connect(database)


def failing(connection: duckdb.DuckDBPyConnection, rule: str) -> list[tuple[Any, ...]]:
    return connection.execute((SQL / f"{rule}.sql").read_text()).fetchall()


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
    with opened(copied, tmp_path) as connection:
        assert [row[0] for row in failing(connection, "release_counts")] == [stage]


PERSONS = "CASE WHEN {0} <= 3 THEN 'person' ELSE annotator_kind END AS annotator_kind"
TAKES = 4
"""Rows of each table that are taken away, one at a time."""


@pytest.fixture(scope="module")
def counted(candidate: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The gate's database of a candidate for which persons said three things of answers and of pairs, and one pair was left out."""
    folder = tmp_path_factory.mktemp("counted")
    copied = copy(candidate, folder)
    place = "row_number() OVER (PARTITION BY question = 'harm' ORDER BY verdict_id)"
    path = f"{copied.uri}/{VERDICTS}.parquet"
    replace_rows(path, f"SELECT * REPLACE ({PERSONS.format(place)}) FROM '{path}'")
    dropped, preferences = f"{copied.uri}/dropped.parquet", f"{copied.uri}/annotations/preferences.parquet"
    unclear = f"(SELECT pair_id FROM '{preferences}' LIMIT 1) AS id, 'pairs_to_preferences' AS stage"
    replace_rows(dropped, f"FROM '{dropped}' UNION ALL (SELECT * REPLACE ({unclear}) FROM '{dropped}' LIMIT 1)")
    for path in (preferences, f"{copied.uri}/{DUAL}.parquet"):
        replace_rows(path, f"FROM '{path}' OFFSET 1")
    path = f"{copied.uri}/annotations/stages.parquet"
    said = {
        "rows_in": "if(stage LIKE 'people_%', 3, rows_in)",
        "rows_kept": "if(stage LIKE 'people_%', 3, rows_kept - CAST(stage = 'pairs_to_preferences' AS BIGINT))",
        "rows_dropped": "rows_dropped + CAST(stage = 'pairs_to_preferences' AS BIGINT)",
    }
    replaced = ", ".join(f"{rows} AS {name}" for name, rows in said.items())
    replace_rows(path, f"SELECT * REPLACE ({replaced}) FROM '{path}'")
    with opened(copied, folder) as connection:
        assert not failing(connection, "release_counts")
        yield connection


@contextmanager
def changed(connection: duckdb.DuckDBPyConnection, **tables: str) -> Iterator[dict[str, set[tuple[Any, ...]]]]:
    """What the recounts say, by stage, with the rows of `tables` that a query gives in place of their own."""
    try:
        for name, rows in tables.items():
            connection.execute(f"CREATE TEMP TABLE {name} AS {rows}")
        told = pa.Table.from_pylist(list(recounts(connection)), schema=RECOUNT_COLUMNS)
        connection.register("told", told).execute("CREATE TEMP TABLE recounted AS FROM told")
        found: dict[str, set[tuple[Any, ...]]] = {}
        for row in told.to_pylist():
            found.setdefault(row["stage"], set()).add((row["rows_in"], row["rows_kept"]))
        yield found
    finally:
        for name in ("recounted", *tables):
            connection.execute(f"DROP TABLE IF EXISTS temp.{name}")


@pytest.mark.parametrize("recount", sorted((SQL / "recounts").glob("*.sql")), ids=lambda path: path.stem)
def test_a_row_that_is_taken_from_any_table_of_a_recount_is_missed_by_its_stage(
    counted: duckdb.DuckDBPyConnection, recount: Path
) -> None:
    read = re.findall(r"(?:FROM|JOIN) (\w+)(?:\s+WHERE (.+))?", recount.read_text())
    tables = {name: counts or "TRUE" for name, counts in read if name in FILES}
    assert tables
    for name, counts in tables.items():
        places = f"SELECT place FROM (SELECT *, row_number() OVER () - 1 AS place FROM {name}) WHERE {counts}"
        rows = [place for (place,) in counted.execute(places).fetchall()]
        assert rows
        for place in rows[:: max(1, len(rows) // TAKES)]:
            left = f"(FROM main.{name} LIMIT {place}) UNION ALL (FROM main.{name} OFFSET {place + 1})"
            with changed(counted, **{name: left}):
                assert recount.stem in {row[0] for row in failing(counted, "release_counts")}, (name, place)


def test_no_recount_stands_on_what_its_stage_says_of_itself(counted: duckdb.DuckDBPyConnection) -> None:
    with changed(counted) as before:
        pass
    for stage in before:
        more = f"FROM main.dropped UNION ALL (SELECT * REPLACE ('{stage}' AS stage) FROM main.dropped LIMIT 1)"
        with changed(counted, dropped=more, stages="FROM main.stages LIMIT 0") as after:
            assert after[stage] == before[stage]


def test_an_answer_that_is_in_no_pair_and_was_not_left_out_is_missed_by_its_stage(
    counted: duckdb.DuckDBPyConnection,
) -> None:
    fewer = ", ".join(
        f"{rows} - CAST(stage = 'pairs_to_preferences' AS BIGINT) AS {rows}" for rows in ("rows_in", "rows_kept")
    )
    lost = {name: f"FROM main.{name} OFFSET 1" for name in ("preferences", "dual")}
    with changed(counted, stages=f"SELECT * REPLACE ({fewer}) FROM main.stages", **lost):
        assert {row[0] for row in failing(counted, "release_counts")} == {"labels_to_pairs"}


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
    with opened(copied, tmp_path) as connection:
        assert {prompt for _, prompts in failing(connection, "release_leak") for prompt in prompts} == {train, test}


def test_two_answers_that_share_the_published_digest_are_two(candidate: Candidate, tmp_path: Path) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/{QA}.parquet"
    moved = "prompt || response[:1] AS prompt, response[2:] AS response, NOT is_safe AS is_safe"
    replace_rows(path, f"FROM '{path}' UNION ALL SELECT * REPLACE ({moved}) FROM '{path}'")
    with opened(copied, tmp_path) as connection:
        assert not any(failing(connection, rule) for rule in ("qa_digest", "qa_twice", "qa_conflicting_labels"))


REACHED = {"safety": 0.7, "severity": 0.6, "helpfulness": 0.5, "harmlessness": None, "overall": float("nan")}
"""How far annotators agree on each question, of which 0.6 is asked; NaN where that row is lost."""


def test_an_agreement_that_is_not_reached_or_does_not_exist_is_a_violation(
    candidate: Candidate, tmp_path: Path
) -> None:
    copied = copy(candidate, tmp_path)
    path = f"{copied.uri}/{AGREEMENT}.parquet"
    asked = "\"between\" = 'models' AND measure = 'alpha'"
    for question, value in REACHED.items():
        row = f"question = '{question}' AND {asked}"
        said = (
            f"SELECT * REPLACE (if({row}, {'NULL' if value is None else value}, value)::DOUBLE AS value) FROM '{path}'"
        )
        replace_rows(path, f"FROM '{path}' WHERE NOT ({row})" if value != value else said)  # noqa: PLR0124
    severities: tuple[Literal["critical", "warning"], ...] = ("critical", "warning")
    thresholds = tuple(
        AgreementThreshold(question=question, at_least=0.6, severity=severity)
        for question in REACHED
        for severity in severities
    )
    with opened(copied, tmp_path, Gate(agreement=thresholds)) as connection:
        for rule in agreement.EXPECTATIONS:
            if rule.meta["rule"].startswith("agreement_not_reached"):
                rows = failing_rows(connection, "agreement", rule.configuration)
                assert rows is not None
                assert {row[:3] for row in rows.fetchall()} == {
                    (question, "models", "alpha") for question in ("helpfulness", "harmlessness", "overall")
                }


@pytest.mark.parametrize(
    ("failed", "of_rules"),
    [(1, set()), (2, {"warning"}), (5, {"warning"}), (6, {"warning", "critical"})],
)
def test_errors_of_an_engine_are_warned_of_and_refused_by_their_share_of_the_requests_to_each_model(
    candidate: Candidate, tmp_path: Path, failed: int, of_rules: set[str]
) -> None:
    copied = copy(candidate, tmp_path)
    responses, dropped, verdicts = (f"{copied.uri}/{name}.parquet" for name in (RESPONSES, "dropped", VERDICTS))

    def be(path: str, rows: int, **values: str) -> None:
        """Have the file hold its first row so many times, the n-th with these values."""
        changed = ", ".join(f"{value} AS {name}" for name, value in values.items())
        one = f"(FROM '{path}' LIMIT 1), range({rows}) AS numbers(n)"
        replace_rows(path, f"SELECT * EXCLUDE (n) REPLACE ({changed}) FROM {one}")

    be(responses, 200 - failed, responder=f"if(n < 100 - {failed}, 'a', 'b')")
    # What is too long can never be mended by asking again, and is no answer either.
    reasons = f"if(n < {failed}, 'engine error', 'too long')"
    be(dropped, 100, stage="'prompts_to_responses'", responder="'a'", reason=reasons)
    problems = f"if(n < 100, if(n < {failed}, 'engine error', NULL), 'too long')"
    be(verdicts, 200, subject_id="CAST(n AS VARCHAR)", problem=problems)
    with opened(copied, tmp_path, Gate()) as connection:
        query = (SQL / "release_engine_errors.sql").read_text()
        for severity in ("warning", "critical"):
            found = connection.execute(query, {"severity": severity}).fetchall()
            assert {row[0] for row in found} == ({"a", "judge"} if severity in of_rules else set())


def test_warnings_are_published_with_the_release(scripted_run: Run) -> None:
    _, release, _ = scripted_run
    manifest = json.loads((Path(release.uri) / "manifest.json").read_text())
    warned = {result["rule"] for result in manifest["verdict"]["results"] if result["outcome"] == "violated"}
    assert "preferences_depend_on_order" in warned
