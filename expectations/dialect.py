"""Let Great Expectations run its rules inside DuckDB.

Great Expectations closes a connection before it fetches; DuckDB drops its result then. This dialect of duckdb-engine
buffers each result as soon as it is there. Connection strings start with `duckdb+buffered://`.
"""

from duckdb_engine import Dialect
from sqlalchemy.dialects import registry
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy


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


registry.register("duckdb.buffered", "expectations.dialect", "BufferedDialect")
