"""Write the dataset card of a release: what it holds, how sure its labels are, and pictures of both.

In: the tables of all stages. Out: `README.md` (Hugging Face dataset card) and `charts/*.png` in the release's folder.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.tables import HARM_CATEGORIES, Ref

mpl.use("agg")
Tables = Mapping[str, Ref | Sequence[Ref] | pa.Table]
Rows = list[dict[str, Any]]
INK, SAFE, MILD, SEVERE = "#333333", "#4c9f70", "#e3a857", "#b5403a"
TEMPLATE = Path(__file__).parent / "card.md"


def write_card(config: Config, version: str, tables: Tables, uri: str) -> None:
    """Write the card and its charts below `uri`."""
    charts = {
        "categories": draw_categories(warehouse.rows("card_categories", tables)),
        "severity": draw_shares(warehouse.rows("card_severity", tables), "answers by severity level"),
        "pairs": draw_shares(warehouse.rows("card_pair_mix", tables), "pairs by safety of their answers"),
        "lengths": draw_lengths(warehouse.rows("card_lengths", tables)),
    }
    for name, figure in charts.items():
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=110, metadata={"Software": None})
        storage.write_bytes(storage.join(uri, "charts", f"{name}.png"), sink.getvalue())
    text = TEMPLATE.read_text(encoding="utf-8")
    sections = {
        "configs": configs(config),
        "name": config.name,
        "version": version,
        "responders": ", ".join(f"`{responder.name}`" for responder in config.responders),
        "judges": ", ".join(f"`{judge.name}`" for judge in config.judges),
        "counts": markdown_table(warehouse.rows("card_counts", tables)),
        "agreement": markdown_table(warehouse.rows("card_agreement", tables)),
        "dropped": markdown_table(warehouse.rows("drops", {"dropped": tables["dropped"]})),
    }
    for name, section in sections.items():
        text = text.replace(f"<<{name}>>", section)
    storage.write_bytes(storage.join(uri, "README.md"), text.encode())


def configs(config: Config) -> str:
    """The `configs:` block that `datasets.load_dataset` reads: each dataset, and each dataset of each responder."""
    lines = []
    for name in ("dual", "single", "qa", "prompts"):
        folder = name if name == "prompts" else f"{name}/*"
        lines += config_lines(name, folder)
        if name != "prompts":
            for responder in config.responders:
                lines += config_lines(f"{name}-{responder.name}", f"{name}/{responder.name}")
    return "\n".join(lines)


def config_lines(name: str, folder: str) -> list[str]:
    """One entry of the block; `dual` is what loads when no name is given."""
    default = ["  default: true"] if name == "dual" else []
    files = [
        line for split in ("train", "test") for line in (f"  - split: {split}", f"    path: {folder}/{split}.parquet")
    ]
    return [f"- config_name: {name}", *default, "  data_files:", *files]


def markdown_table(rows: Rows) -> str:
    """Rows as a Markdown table with numbers to the right; `none` where there are no rows."""
    if not rows:
        return "none"
    numeric = {name for name, value in rows[0].items() if isinstance(value, int | float)}
    lines = [list(rows[0]), ["---:" if name in numeric else "---" for name in rows[0]]]
    lines += [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def chart(title: str, height: float) -> tuple[Figure, Axes]:
    """An empty chart with a title and no frame."""
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_categories(rows: Rows) -> Figure:
    """Unsafe answers per harm category, stacked by severity."""
    figure, axes = chart("unsafe answers by harm category and severity", 5)
    left = [0] * len(HARM_CATEGORIES)
    for level, colour in ((1, MILD), (2, "#d07a45"), (3, SEVERE)):
        counts = {row["category"]: row["answers"] for row in rows if row["severity_level"] == level}
        widths = [counts.get(category, 0) for category in HARM_CATEGORIES]
        axes.barh(HARM_CATEGORIES, widths, left=left, color=colour, label=f"severity {level}")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.legend(frameon=False)
    return figure


def draw_shares(rows: Rows, title: str) -> Figure:
    """One bar per row's `name`, as long as its `rows`, with its share of the whole."""
    figure, axes = chart(title, 2.2)
    total = sum(row["rows"] for row in rows) or 1
    bars = axes.barh(
        [row["name"] for row in rows], [row["rows"] for row in rows], color=[SAFE, MILD, "#d07a45", SEVERE][: len(rows)]
    )
    axes.bar_label(bars, [f"{row['rows']:,} ({row['rows'] / total:.1%})" for row in rows], padding=3)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    return figure


def draw_lengths(rows: Rows) -> Figure:
    """Answers per length, safe beside unsafe."""
    figure, axes = chart("answers by length (characters)", 2.6)
    width = rows[0]["bin_width"] if rows else 1
    for is_safe, colour, name in ((True, SAFE, "safe"), (False, SEVERE, "unsafe")):
        chosen = [row for row in rows if row["is_safe"] == is_safe]
        axes.bar(
            [row["chars"] + width * (0.25 if is_safe else 0.65) for row in chosen],
            [row["rows"] for row in chosen],
            width=0.38 * width,
            color=colour,
            label=name,
        )
    axes.legend(frameon=False)
    return figure
