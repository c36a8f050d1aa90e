"""Find the rows that break a rule, for people to look at.

In: the gate's database and a rule. Out: a DuckDB relation of whole rows, or None where the rule is about the table as a
whole. Great Expectations caps the rows it returns, and the queries that it reports do not run as they stand.
"""

import duckdb
from duckdb import ColumnExpression, ConstantExpression, FunctionExpression, StarExpression
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration


def failing_rows(  # noqa: PLR0911 (one return for each kind of rule)
    connection: duckdb.DuckDBPyConnection, table: str, rule: ExpectationConfiguration
) -> duckdb.DuckDBPyRelation | None:
    """The rows of `table` that break `rule`."""
    wanted = rule.kwargs
    rows = connection.table(table)
    column = ColumnExpression(wanted["column"]) if "column" in wanted else StarExpression()
    match rule.type:
        case "no_rows":
            return connection.sql(wanted["unexpected_rows_query"])
        case "expect_column_values_to_not_be_null":
            return rows.filter(column.isnull())
        case "expect_column_values_to_be_in_set":
            return rows.filter(column.isnotin(*map(ConstantExpression, wanted["value_set"])))
        case "expect_column_values_to_be_between":
            outside = column < ConstantExpression(wanted["min_value"])
            if wanted.get("max_value") is not None:
                outside = outside | (column > ConstantExpression(wanted["max_value"]))
            return rows.filter(outside)
        case "expect_column_values_to_be_unique":
            return repeated(rows, [wanted["column"]])
        case "expect_compound_columns_to_be_unique":
            return repeated(rows, wanted["column_list"])
    return None


def repeated(rows: duckdb.DuckDBPyRelation, columns: list[str]) -> duckdb.DuckDBPyRelation:
    """The values of `columns` that more than one row has, and how many have them."""
    key = [ColumnExpression(column) for column in columns]
    counted = rows.aggregate([*key, FunctionExpression("count", ConstantExpression(1)).alias("rows")])
    return counted.filter(ColumnExpression("rows") > ConstantExpression(1))
