"""Let Great Expectations run its rules inside DuckDB.

Great Expectations closes a connection before it fetches; DuckDB drops its result then. This dialect of duckdb-engine
buffers each result as soon as it is there, and raises what the handler of a signal raised in a statement. Connection strings
start with `duckdb+buffered://`.
"""

from collections.abc import Collection, Iterable
from typing import Any

import duckdb
from duckdb_engine import Dialect
from sqlalchemy import Connection
from sqlalchemy.dialects import registry
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.types import NullType

from tasks.warehouse import stopping

Columns = list[dict[str, Any]]


class BufferedExecutionContext(Dialect.execution_ctx_cls):  # type: ignore[misc]
    """Fetch all rows before anybody can close the connection."""

    def post_exec(self) -> None:
        """Called by SQLAlchemy after each statement."""
        if self.cursor.description:
            rows = self.cursor.fetchall()
            self.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(self.cursor, self.cursor.description, rows)


class BufferedDialect(Dialect):  # type: ignore[misc]
    """duckdb-engine's dialect, buffered."""

    driver = "buffered"
    supports_statement_cache = False
    execution_ctx_cls = BufferedExecutionContext

    def do_execute(
        self, cursor: duckdb.DuckDBPyConnection, statement: str, parameters: object, context: object = None
    ) -> None:
        """Called by SQLAlchemy for each statement; Great Expectations takes an error of DuckDB's for a rule that crashed."""
        with stopping(cursor):
            super().do_execute(cursor, statement, parameters, context)

    def get_multi_columns(
        self, connection: Connection, schema: str | None = None, filter_names: Collection[str] = (), **_others: object
    ) -> Iterable[tuple[tuple[str | None, str], Columns]]:
        """The columns of tables, by schema and name: what rules are asked of.

        duckdb-engine looks them up in Postgres' catalog, for which DuckDB opens every file behind every view, each time.
        """
        for table in filter_names:
            described = connection.exec_driver_sql(f"DESCRIBE {self.identifier_preparer.quote(table)}")
            columns = [{"name": row[0], "type": NullType(), "nullable": True, "default": None} for row in described]
            yield (schema, table), columns


registry.register("duckdb.buffered", "expectations.dialect", "BufferedDialect")
