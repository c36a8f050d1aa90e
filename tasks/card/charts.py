"""Draw the pictures of a dataset card.

In: rows of counts and measures. Out: matplotlib figures. Grain: one figure a chart.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tasks.card.markdown import Rows
from tasks.tables import HARM_CATEGORIES

mpl.use("agg")
INK, FAINT, SAFE, MILD, MODERATE, SEVERE = "#333333", "#d9d9d9", "#4c9f70", "#e3a857", "#d07a45", "#b5403a"
SERIES = ("#3b6ea5", SEVERE, SAFE)


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
    for level, colour in ((1, MILD), (2, MODERATE), (3, SEVERE)):
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
        [row["name"] for row in rows], [row["rows"] for row in rows], color=[SAFE, MILD, MODERATE, SEVERE][: len(rows)]
    )
    axes.bar_label(bars, [f"{row['rows']:,} ({row['rows'] / total:.1%})" for row in rows], padding=3)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    return figure


def draw_languages(rows: Rows) -> Figure:
    """The share of each row's `language` among prompts, beside that among answers."""
    figure, axes = chart("prompts and answers by language", 1.3 + 0.4 * len(rows))
    for number, (counted, colour) in enumerate((("prompts", SERIES[0]), ("answers", MILD))):
        total = sum(row[counted] for row in rows) or 1
        shares = [row[counted] / total for row in rows]
        places = np.arange(len(rows)) + (number - 0.5) * 0.38
        bars = axes.barh(places, shares, height=0.36, color=colour, label=counted)
        axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=8, color=INK)
    axes.set_yticks(range(len(rows)), [row["language"] for row in rows])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.margins(x=0.12)
    axes.invert_yaxis()
    figure.legend(frameon=False, loc="outside lower right", ncols=2)
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


Dots = Mapping[str, Mapping[str, tuple[float, float, float]]]


def draw_dots(names: Sequence[str], series: Dots, title: str, line: float, limits: tuple[float, float]) -> Figure:
    """For each of the `names` a dot and its interval (value, low, high) in each series; a `line` to compare with."""
    figure, axes = chart(title, 1 + len(names) * (0.1 + 0.14 * len(series)))
    for number, (label, dots) in enumerate(series.items()):
        rows = [row for row, name in enumerate(names) if name in dots]
        values, low, high = np.array([dots[names[row]] for row in rows]).reshape(-1, 3).T
        places = np.array(rows) + (number - (len(series) - 1) / 2) * 0.22
        colour = SERIES[number % len(SERIES)]
        # A value at the end of its range may stand a hair outside its interval.
        around = np.maximum([values - low, high - values], 0)
        axes.errorbar(values, places, xerr=around, fmt="o", markersize=4, color=colour, elinewidth=1, label=label)
    axes.axvline(line, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    if len(series) > 1:
        figure.legend(frameon=False, loc="outside lower right", ncols=len(series))
    return figure


def draw_matrix(names: Sequence[str], values: np.ndarray, texts: Sequence[Sequence[str]], title: str) -> Figure:
    """Values from -1 to 1 as a square of coloured cells with a text in each; NaN is a grey one."""
    widest = max((len(line) for row in texts for text in row for line in text.split("\n")), default=1)
    size = max(3.0, 0.6 + 0.095 * len(names) * widest)
    figure = Figure(figsize=(size + 2.6, size + 1.2), layout="constrained")
    figure.suptitle(title, x=0.02, ha="left", color=INK, fontsize=11)
    axes = figure.add_subplot()
    colours = mpl.colormaps["RdBu"].with_extremes(bad=FAINT)
    picture = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if abs(value) > 0.6 else INK
        axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.6)
    return figure
