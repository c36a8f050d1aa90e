"""What a card says of the biases of judges: position, length, and whether a judge prefers answers of its own model.

In: the tables of all stages and the configuration. Out: a section of the card.
"""

from math import sqrt

from tasks import warehouse
from tasks.card.charts import draw_dots
from tasks.card.markdown import Rows, Section, listed, markdown_table
from tasks.config import Config
from tasks.warehouse import Tables

Z = 1.96


def biases(config: Config, tables: Tables) -> Section:
    """Position bias, length bias and self-preference of each judge."""
    rows = warehouse.rows("card_biases", tables)
    text = [
        "The answer shown first should win half of the time. Every pair is asked in both orders, which weigh the same, "
        "so a judge's taste for a position costs votes but favours no answer. `longer wins` is how often the longer "
        "answer is the judge's choice over both orders, in pairs where it has one: the longer answer may be the better "
        "one, so this is no error by itself.",
        markdown_table(rows),
    ]
    charts = {}
    if rows:
        names = [f"{row['judge']}: {row['question']}" for row in rows]
        charts["biases"] = draw_dots(names, bias_dots(rows), "how often the answer wins that is ...", 0.5, (0, 1))
        text.append("![Position and length bias of each judge](charts/biases.png)")
    if own := own_answers(config):
        text += [
            "Some judges also answer. `own safe` is how often such a judge calls answers of its own model safe, `others safe` "
            "how often those of other models; other annotators of the same answers show how much of the difference is the "
            "answers' own. Both answers of a pair come from one responder, so preferences cannot show it.",
            markdown_table(warehouse.rows("card_self_preference", tables, own=own)),
        ]
    else:
        text.append("No judge is a model that also answers.")
    text += [f"{listed(names)} are the same model: they may err alike, so that they agree more than two models would."
             for names in same_models(config)]  # fmt: skip
    return Section("\n\n".join(text), charts)


def bias_dots(rows: Rows) -> dict[str, dict[str, tuple[float, float, float]]]:
    """First-place and longer-answer wins with their intervals, by judge and question."""
    measured = {"shown first": ("first_wins", "pairs"), "longer": ("longer_wins", "decided_pairs")}
    return {
        label: {
            f"{row['judge']}: {row['question']}": (row[share], *wilson(row[share], row[counted]))
            for row in rows
            if row[counted]
        }
        for label, (share, counted) in measured.items()
    }


def wilson(share: float, counted: int) -> tuple[float, float]:
    """The 95% interval of a share of so many pairs (Wilson, JASA 22, 1927); half a win makes it a little too wide."""
    middle = (share + Z**2 / (2 * counted)) / (1 + Z**2 / counted)
    reach = Z * sqrt(share * (1 - share) / counted + Z**2 / (4 * counted**2)) / (1 + Z**2 / counted)
    return middle - reach, middle + reach


def own_answers(config: Config) -> Rows:
    """Judges whose model is also that of responders, and these responders."""
    rows = []
    for judge in config.judges:
        own = [
            responder.name for responder in config.responders if responder.engine.weights() == judge.engine.weights()
        ]
        if own:
            rows.append({"judge": judge.name, "responders": own})
    return rows


def same_models(config: Config) -> list[list[str]]:
    """Names of judges that are one model, in groups of two or more."""
    groups: dict[str, list[str]] = {}
    for judge in config.judges:
        groups.setdefault(judge.engine.weights(), []).append(judge.name)
    return [names for names in groups.values() if len(names) > 1]
