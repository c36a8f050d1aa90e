"""What a card says of annotators: who decided, how often each is right, and how far they agree.

In: the tables of all stages and the configuration. Out: sections of the card.
"""

from typing import Any

import numpy as np

from tasks import warehouse
from tasks.card.charts import draw_dots, draw_matrix
from tasks.card.markdown import Rows, Section, markdown_table
from tasks.config import Config
from tasks.judging.agreement import BETWEEN, pairwise
from tasks.tables import HARM_CATEGORIES
from tasks.warehouse import Tables

METHODS = {
    "majority": "Each annotator has one vote, however often it was asked, and the majority decides.",
    "dawid-skene": "The votes of models are weighed by the confusion matrix of each, as Dawid and Skene estimate it.",
}
TRUTHS = {
    "majority": "the released label, in which it had its own say",
    "dawid-skene": "what the answer most probably is by all models, in which it had its own say",
}
Found = dict[tuple[str, str, str], dict[str, Any]]


def decided(config: Config, tables: Tables) -> Section:
    """Who decided, by what method, and how often each annotator is right by what was decided."""
    method = config.consensus.method
    confusion = warehouse.rows("card_confusion", tables, weighed=method == "dawid-skene")
    text = [
        f"{METHODS[method]} Where people judged, models are not counted.",
        markdown_table(warehouse.rows("card_decided", tables)),
        f"How often each annotator calls safe what is safe and unsafe what is unsafe, measured by {TRUTHS[method]}:",
        markdown_table(confusion),
    ]
    return Section("\n\n".join(text))


def agreement(tables: Tables) -> Section:
    """The measures of agreement as a table, harm categories as dots, and every two annotators as a matrix."""
    rows = warehouse.rows("card_measures", tables)
    if not rows:
        return Section("No answer or pair was judged by two annotators, so there is no agreement to measure.")
    found = {(row["question"], row["between"], row["measure"]): row for row in rows}
    text, charts = [markdown_table(compact(found))], {}
    if dots := category_dots(found):
        named = [category for category in HARM_CATEGORIES if any(category in side for side in dots.values())]
        title = "Krippendorff's alpha by harm category"
        charts["agreement_categories"] = draw_dots(named, dots, title, 0, (-0.55, 1.05))
        text.append("![Agreement by harm category](charts/agreement_categories.png)")
    if cells := pairwise(warehouse.rows("all_patterns", tables)):
        names, values, texts = matrix(cells)
        charts["agreement"] = draw_matrix(names, values, texts, "Cohen's kappa for safe or unsafe, and shared answers")
        text.append("![Agreement of every two annotators](charts/agreement.png)")
    return Section("\n\n".join(text), charts)


def compact(found: Found) -> Rows:
    """One row per question and sides that were compared, harm categories left out."""
    return [
        {
            "question": question,
            "between": between,
            **{name: estimated(found.get((question, between, name))) for name in ("percent", "kappa", "alpha")},
            "subjects": found[question, between, "percent"]["subjects"],
        }
        for question in ("safety", "severity", "helpfulness", "harmlessness", "overall")
        for between in BETWEEN
        if (question, between, "percent") in found
    ]


def estimated(row: dict[str, Any] | None) -> str | None:
    """`0.61 [0.52, 0.70]`; None where there is no measure."""
    return None if row is None else f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def category_dots(found: Found) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Alpha and its interval by sides and harm category, where it exists."""
    dots: dict[str, dict[str, tuple[float, float, float]]] = {}
    for (question, between, measure), row in found.items():
        if measure == "alpha" and question in HARM_CATEGORIES:
            dots.setdefault(between, {})[question] = (row["value"], row["low"], row["high"])
    return {between: dots[between] for between in BETWEEN if between in dots}


def matrix(cells: Rows) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """Names of annotators, kappa of every two, and kappa with the count of shared answers as text."""
    kinds = {cell["annotator"]: cell["kind"] for cell in cells}
    place = {name: number for number, name in enumerate(kinds)}
    values = np.full((len(place), len(place)), np.nan)
    texts = [["" for _ in place] for _ in place]
    for cell in cells:
        row, column = place[cell["annotator"]], place[cell["other"]]
        values[row, column] = np.nan if cell["kappa"] is None else cell["kappa"]
        texts[row][column] = f"{'-' if cell['kappa'] is None else format(cell['kappa'], '.2f')}\n{cell['subjects']:,}"
    return [f"{name} ({kind})" for name, kind in kinds.items()], values, texts
