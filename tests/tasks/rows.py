"""Short ways to make and read the tables that SQL tests are about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tasks import warehouse
from tasks.tables import POSTERIORS, RESOLVED, VERDICTS, Ref, Table

Row = dict[str, Any]


def make(table: Table, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows of `table`; columns that a row leaves out are null."""
    return pa.Table.from_pylist([{name: row.get(name) for name in table.schema.names} for row in rows], table.schema)


def read(ref: Ref) -> list[Row]:
    """All rows at a Ref."""
    found: list[Row] = duckdb.read_parquet(ref.uri).to_arrow_table().to_pylist()
    return found


def select(table: Table, folder: Path, sql: str, inputs: Mapping[str, pa.Table], **parameters: object) -> list[Row]:
    """What `<sql>.sql` makes of `inputs`."""
    return read(warehouse.build(table, str(folder), sql, inputs, **parameters))


def with_opinions(verdicts: Sequence[Mapping[str, object]]) -> dict[str, pa.Table]:
    """Rows of `verdicts`, and the opinions that they come to."""
    said = make(VERDICTS, verdicts)
    return {"verdicts": said, "opinions": warehouse.table("opinions", {"verdicts": said})}


UNWEIGHED = {"posteriors": make(POSTERIORS, []), "resolved": make(RESOLVED, [])}
"""What the decisions read beside verdicts, where only votes decide."""
