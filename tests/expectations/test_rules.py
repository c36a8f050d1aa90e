"""What a rule costs."""

from pathlib import Path

import duckdb
import great_expectations as gx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from expectations import gate, labels
from expectations.rules import no_rows


def test_the_query_of_a_rule_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with duckdb.connect(str(tmp_path / "gate.duckdb")) as connection:
        connection.execute("CREATE TABLE labels AS SELECT 0.5 AS agreement, 1 AS votes, 'm' AS decided_by")
    monkeypatch.setattr(labels, "EXPECTATIONS", [no_rows("labels_without_agreement")])
    asked: list[str] = []

    def hear(*told: object) -> None:
        asked.append(str(told[2]))

    event.listen(Engine, "before_cursor_execute", hear)
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_sql("candidate", connection_string=f"duckdb+buffered:///{tmp_path}/gate.duckdb")
    list(gate.run_suite(context, source, "labels"))
    event.remove(Engine, "before_cursor_execute", hear)
    assert sum("agreement" in statement for statement in asked) == 1
