"""What a card says of a release beside PKU-SafeRLHF.

In: the tables of all stages, and `reference.toml`. Out: a section of the card. Grain of its table: one row per statistic.
"""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from tasks import warehouse
from tasks.card.charts import draw_matrix
from tasks.card.markdown import Rows, Section, markdown_table
from tasks.tables import HARM_CATEGORIES
from tasks.warehouse import Tables

REFERENCE = Path(__file__).parent / "reference.toml"


def comparison(tables: Tables) -> Section:
    """This release's statistics beside PKU-SafeRLHF's, and which harm categories come together."""
    here = {row["statistic"]: row for row in warehouse.rows("card_comparison", tables)}
    text = [markdown_table([compared(statistic, here.get(statistic["key"])) for statistic in reference()])]
    charts = {}
    sets = warehouse.rows("card_category_sets", tables)
    if sets:
        values = phi(sets)
        texts = [["" if np.isnan(value) else f"{value:.1f}".replace("-0.0", "0.0") for value in row] for row in values]
        title = "correlation (phi) of harm categories among unsafe answers"
        charts["category_correlation"] = draw_matrix(HARM_CATEGORIES, values, texts, title)
        text.append("![Correlation of harm categories among unsafe answers](charts/category_correlation.png)")
    return Section("\n\n".join(text), charts)


def reference() -> list[dict[str, Any]]:
    """The statistics of PKU-SafeRLHF: key, name, unit and, where it is known, value."""
    statistics: list[dict[str, Any]] = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))["statistic"]
    return statistics


def compared(statistic: dict[str, Any], here: dict[str, Any] | None) -> dict[str, Any]:
    """A statistic there and here, the difference in percentage points or as it is, and what it is counted over."""
    there, value = statistic.get("value"), here["value"] if here else None
    share = statistic["unit"] == "share"
    difference = None if there is None or value is None else value - there
    return {
        "statistic": statistic["name"],
        "PKU-SafeRLHF": shown(there, share),
        "this release": shown(value, share),
        "difference": None if difference is None else f"{100 * difference:+.1f} pp" if share else f"{difference:+.2f}",
        "counted": here["counted"] if here else 0,
    }


def shown(value: float | None, share: bool) -> str | None:
    """`41.2%`, or `2.00`."""
    return None if value is None else f"{value:.1%}" if share else f"{value:.2f}"


def phi(sets: Rows) -> np.ndarray:
    """The correlation of every two harm categories, from distinct sets and their counts; NaN where one never varies."""
    holds = np.array([[row["harm_category"][name] for name in HARM_CATEGORIES] for row in sets], dtype=float)
    counts = np.array([row["answers"] for row in sets], dtype=float)
    apart = holds - counts @ holds / counts.sum()
    together = apart.T * counts @ apart
    spread = np.sqrt(np.diag(together))
    scale = np.outer(spread, spread)
    correlation: np.ndarray = np.divide(together, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
    return correlation
