"""Judge a release candidate: run every suite inside DuckDB and say whether it may be published.

In: a candidate's folder and the files that its manifest will list. Out: `gate/verdict.json`, Data Docs in `gate/docs/`,
and for each broken rule its failing rows in `gate/failing/<suite>.<rule>.parquet`. Grain: one result per rule.
A violated critical rule refuses the candidate, and so does a rule that crashed, whatever its severity.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from functools import reduce
from types import ModuleType
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import duckdb
import great_expectations as gx
import pyarrow as pa
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context import AbstractDataContext
from great_expectations.datasource.fluent import SQLDatasource

from expectations import (
    agreement,
    annotated_prompts,
    dialect,  # noqa: F401 (registers the dialect)
    dropped,
    dual,
    labels,
    preferences,
    prompts,
    qa,
    release,
    responses,
    rules,
    single,
    verdicts,
)
from expectations.copies import copies
from expectations.failing import failing_rows
from expectations.loading import LOADED, Row, load_all
from expectations.outcome import GateOutcome, RuleResult
from infra import leftovers, storage
from tasks import warehouse
from tasks.config import Gate
from tasks.identity import named, query
from tasks.release.candidate import ANNOTATIONS, describe_files
from tasks.release.catalog import views
from tasks.tables import INTEGER, REAL, TEXT, columns

FILES = {
    "prompts": "prompts/*.parquet",
    "qa": "qa/*/*.parquet",
    "dual": "dual/*/*.parquet",
    "single": "single/*/*.parquet",
    **ANNOTATIONS,
}
"""What each table of the gate's database reads."""

SUITES: dict[str, tuple[str, ModuleType]] = {
    "prompts": ("prompts", prompts),
    "annotated_prompts": ("annotated_prompts", annotated_prompts),
    "responses": ("responses", responses),
    "verdicts": ("verdicts", verdicts),
    "labels": ("labels", labels),
    "qa": ("qa", qa),
    "preferences": ("preferences", preferences),
    "dual": ("dual", dual),
    "single": ("single", single),
    "agreement": ("agreement", agreement),
    "dropped": ("dropped", dropped),
    "release": ("stages", release),
}
"""Suites by name, with the table that each one calls its batch; in the order of the stages, so that causes come first."""

RECOUNT_COLUMNS = columns(stage=TEXT, rows_in=INTEGER, rows_kept=INTEGER)
FILE_COLUMNS = columns(path=TEXT, sha256=TEXT, bytes=INTEGER, rows=INTEGER)
THRESHOLD_COLUMNS = columns(question=TEXT, between=TEXT, measure=TEXT, at_least=REAL, severity=TEXT)
LIMIT_COLUMNS = columns(severity=TEXT, at_most=REAL)


def examine(uri: str, files: Sequence[Mapping[str, Any]], asked: Gate) -> GateOutcome:
    """Run all suites on the candidate at `uri`, whose data files are `files`, and write what they found beside it.

    Beyond the fixed rules it is held to what the configuration has `asked` of a release.
    """
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with leftovers.folder() as scratch:
        database = f"{scratch}/gate.duckdb"
        folder = storage.fetch(uri, f"{scratch}/candidate")
        loaded = load_all(folder, views("main", folder, (file["path"] for file in files)))
        open_candidate(database, folder, files, asked, loaded)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        add_data_docs(context, f"{scratch}/docs")
        source = context.data_sources.add_sql("candidate", connection_string=f"duckdb+buffered:///{database}")
        found = [(name, result) for name in SUITES for result in run_suite(context, source, name)]
        context.build_data_docs(site_names=["gate"])
        storage.put(f"{scratch}/docs", storage.join(uri, "gate/docs"))
        # DuckDB opens a file with one set of options at a time, and duckdb-engine has its own.
        source.get_execution_engine().close()
        source.get_engine().dispose()
        results = [read_result(name, result) for name, result in found]
        broken = [entry for entry, read in zip(found, results, strict=True) if read.outcome == "violated"]
        said = write_failing_rows(database, broken, storage.join(uri, "gate/failing"))
    results = [replace(read, said=said.get((read.suite, read.rule), read.said)) for read in results]
    outcome = GateOutcome(not any(result.refuses for result in results), tuple(results))
    storage.write_bytes(storage.join(uri, "gate/verdict.json"), json.dumps(asdict(outcome), indent=2).encode())
    return outcome


def write_failing_rows(
    database: str, broken: Sequence[tuple[str, ExpectationValidationResult]], uri: str
) -> dict[tuple[str, str], str]:
    """Write the failing rows of each violated rule to `<uri>/<suite>.<rule>.parquet`.

    Gives what the first of them says, by suite and rule, where the rule's query has a column `said`.
    """
    storage.make_folder(uri)
    said: dict[tuple[str, str], str] = {}
    with duckdb.connect(database) as connection, warehouse.stopping(connection):
        warehouse.write_remote_files(connection, uri)
        for name, result in broken:
            rule = result.expectation_config.meta["rule"]
            rows = failing_rows(connection, SUITES[name][0], result.expectation_config)
            if rows is not None:
                rows.write_parquet(storage.join(uri, f"{name}.{rule}.parquet"))
                if "said" in rows.columns:
                    ((said[name, rule],),) = rows.select("said").limit(1).fetchall()
    return said


def open_candidate(
    database: str,
    folder: str,
    files: Sequence[Mapping[str, Any]],
    asked: Gate,
    loaded: Sequence[Row],
) -> None:
    """Make the gate's database: a view a table of the candidate, its stages recounted, copies, files, what loads and what is asked."""
    there = storage.listing(folder)
    with warehouse.connect({}, database) as connection:
        for name, pattern in FILES.items():
            located = name in ("prompts", "qa", "dual", "single")
            matching = [file for file in there if fnmatchcase(file.removeprefix(f"{folder}/"), pattern)]
            read = connection.read_parquet(warehouse.literal(matching), filename=located, hive_partitioning=False)
            read.create_view(name)
        listed = pa.Table.from_pylist([dict(file) for file in files], schema=FILE_COLUMNS)
        connection.from_arrow(listed).create("files")
        connection.from_arrow(pa.Table.from_pylist([dict(row) for row in loaded], schema=LOADED)).create("loaded")
        recounted = pa.Table.from_pylist(list(recounts(connection)), schema=RECOUNT_COLUMNS)
        connection.from_arrow(recounted).create("recounted")
        connection.sql(query("asked_of_models")).create("asked_of_models")
        connection.sql(query("answers_cut_off")).create("answers_cut_off")
        thresholds = [threshold.model_dump() for threshold in asked.agreement]
        connection.from_arrow(pa.Table.from_pylist(thresholds, schema=THRESHOLD_COLUMNS)).create("thresholds")
        limits = [{"severity": name, "at_most": share} for name, share in asked.engine_errors]
        connection.from_arrow(pa.Table.from_pylist(limits, schema=LIMIT_COLUMNS)).create("limits")
        # Not by DuckDB's read_blob: it makes columns of folders such as `content=3`, and cannot be told not to.
        found = pa.Table.from_pylist(list(describe_files(folder)), schema=FILE_COLUMNS)
        connection.from_arrow(found).create("found")
        connection.from_arrow(copies(distinct_prompts(connection))).create("copies")


def distinct_prompts(connection: duckdb.DuckDBPyConnection) -> pa.Array:
    """Every prompt of the four datasets once."""
    columns = [connection.view(name).select("prompt") for name in ("prompts", "qa", "dual", "single")]
    found = reduce(duckdb.DuckDBPyRelation.union, columns).filter("prompt IS NOT NULL").distinct()
    return found.to_arrow_table()["prompt"].combine_chunks()


def recounts(connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    """What came into each stage and was kept, by the tables: `expectations/sql/recounts/<stage>.sql` counts them.

    `rows_in` is None where no table holds what came in; a stage whose rows stand in several tables is counted in each.
    """
    for path in named(rules.SQL / "recounts", ".sql"):
        for row in connection.sql(path.read_text(encoding="utf-8")).to_arrow_table().to_pylist():
            yield {"stage": path.stem, **row}


def add_data_docs(context: AbstractDataContext, folder: str) -> None:
    """Have Data Docs built as plain HTML files in `folder`."""
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {"class_name": "SiteBuilder", "store_backend": backend, "site_index_builder": index}
    context.add_data_docs_site(site_name="gate", site_config=site)


def run_suite(context: AbstractDataContext, source: SQLDatasource, name: str) -> Iterator[ExpectationValidationResult]:
    """Run one suite; yield the result of each of its rules."""
    table, module = SUITES[name]
    batch = source.add_table_asset(name, table_name=table).add_batch_definition_whole_table("all")
    suite = context.suites.add(
        gx.ExpectationSuite(name=name, expectations=[copy(rule) for rule in module.EXPECTATIONS])
    )
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    # Counts of failing rows, never their text: Data Docs are read by more people than releases are.
    shown = {"result_format": "SUMMARY", "exclude_unexpected_values": True, "partial_unexpected_count": 0}
    yield from definition.run(result_format=shown).results


def read_result(suite: str, result: ExpectationValidationResult) -> RuleResult:
    """Tell passed, violated and crashed apart; Great Expectations shows a crash as a failure with exception info."""
    config = result.expectation_config
    rule, severity = (config.meta or {})["rule"], str(config.severity.value)
    if crash := exception_message(result.exception_info):
        return RuleResult(suite, rule, severity, "crashed", None, crash)
    if result.success:
        return RuleResult(suite, rule, severity, "passed", 0, "")
    found = result.result
    counted = "unexpected_rows_query" in config.kwargs
    failing = found.get("observed_value") if counted else found.get("unexpected_count")
    said = config.description or f"{config.type}: {rule}"
    return RuleResult(suite, rule, severity, "violated", failing if failing is None else int(failing), said)


def exception_message(info: Mapping[str, Any] | None) -> str:
    """The first line of what a rule raised; empty if it did not."""
    if not info:
        return ""
    entries = [info] if "raised_exception" in info else list(info.values())
    raised = [entry["exception_message"] for entry in entries if entry.get("raised_exception")]
    return str(raised[0]).splitlines()[0] if raised else ""
