"""Parts of a dataset card as Markdown.

In: rows. Out: text, and the pictures that it shows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

Rows = list[dict[str, Any]]


class Section(NamedTuple):
    """Markdown for the card, and charts by the name of their file in `charts/`."""

    text: str
    charts: Mapping[str, Figure] = {}


def markdown_table(rows: Rows) -> str:
    """Rows as a Markdown table with numbers to the right; `none` where there are no rows."""
    if not rows:
        return "none"
    numeric = {name for row in rows for name, value in row.items() if isinstance(value, int | float)}
    lines = [[name.replace("_", " ") for name in rows[0]], ["---:" if name in numeric else "---" for name in rows[0]]]
    lines += [[cell(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: object) -> str:
    """A value as a table shows it, a pipe in it escaped; a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def listed(names: Sequence[str]) -> str:
    """Names as code: `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
