"""The few kinds of rule that the suites are made of.

In: column names, or the name of a `.sql` file in this package. Out: expectations of Great Expectations.
A `.sql` rule selects the rows that break it: none may come.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import great_expectations.expectations as gxe

SQL = Path(__file__).parent / "sql"
Severity = Literal["critical", "warning"]
Expectations = list[gxe.Expectation]


class NoRows(gxe.UnexpectedRowsExpectation):  # type: ignore[misc]
    """Counts the rows of a query. Great Expectations' own rule runs each query a second time for the rows, which nobody is shown."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    def _validate(self, metrics: dict[str, Any], *_others: object, **_named: object) -> dict[str, Any]:
        rows = metrics["unexpected_rows_query.row_count"]
        return {"success": rows == 0, "result": {"observed_value": rows}}


def no_rows(sql: str, severity: Severity = "critical", rule: str | None = None) -> gxe.Expectation:
    """Nothing may come from `expectations/sql/<sql>.sql`, whose first line says what the rule is; `rule` renames it."""
    first, _, body = (SQL / f"{sql}.sql").read_text(encoding="utf-8").partition("\n")
    return NoRows(
        # Great Expectations prints a warning about a query that does not name its batch. Ours name their tables.
        unexpected_rows_query=f"/* {{batch}} */\n{body.replace('$severity', repr(severity))}",
        description=first.removeprefix("-- "),
        severity=severity,
        meta={"rule": rule or sql},
    )


def not_null(*columns: str) -> Expectations:
    """No column may hold a null."""
    return [gxe.ExpectColumnValuesToNotBeNull(column=column, meta={"rule": f"{column}_not_null"}) for column in columns]


def between(column: str, low: float, high: float | None = None) -> gxe.Expectation:
    """Values stand in [low, high]; without `high` there is no upper end."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, meta={"rule": f"{column}_in_range"}
    )


def among(column: str, values: Sequence[Any]) -> gxe.Expectation:
    """Values come from a closed list."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), meta={"rule": f"{column}_known"})


def unique(*columns: str) -> gxe.Expectation:
    """No two rows share the values of all columns."""
    rule = {"rule": f"{'_'.join(columns)}_unique"}
    if len(columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=columns[0], meta=rule)
    return gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), meta=rule)


def columns_are(*columns: str) -> gxe.Expectation:
    """The table has these columns, in this order."""
    return gxe.ExpectTableColumnsToMatchOrderedList(column_list=list(columns), meta={"rule": "columns"})


def not_empty(description: str) -> gxe.Expectation:
    """The table has at least one row; `description` is the rule in words, and what to do about an empty table."""
    return gxe.ExpectTableRowCountToBeBetween(min_value=1, description=description, meta={"rule": "not_empty"})
