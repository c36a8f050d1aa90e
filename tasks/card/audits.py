"""Sections of the card on what a release could not have or is not sure of.

In: the tables of all stages. Out: sections on wrong labels, unfilled quotas and circular preferences.
"""

from tasks import warehouse
from tasks.card.markdown import Section, markdown_table
from tasks.config import Config
from tasks.people.routing import label_error
from tasks.warehouse import Tables

MOST_CELLS = 12


def wrong_labels(config: Config, tables: Tables) -> Section:
    """How often models are wrong, from the answers that people were given at random."""
    found = label_error(config, config.review, tables) if config.review else None
    if found is None:
        return Section("Not known: no person has judged any of the answers that an audit would draw at random.")
    return Section(
        f"Models call {found.rate:.1%} of the answers safe or unsafe otherwise than people do (95% interval "
        f"{found.low:.1%} to {found.high:.1%}): {found.wrong:,} of {found.audited:,} answers that were drawn at random "
        f"and judged by people, of {found.drawn:,} drawn; they count up to the first that nobody judged. "
        "Where people judged an answer, their label stands in this release."
    )


def unfilled_quotas(tables: Tables) -> Section:
    """How the pairs that were compared are spread, and the cells for which there were not enough."""
    if "pair_quotas" not in tables:
        return Section("No budget was set: every pair was compared.")
    mixes = warehouse.rows("card_quota_mixes", tables)
    cells = warehouse.rows("card_quota_cells", tables, most=MOST_CELLS)
    text = [markdown_table(mixes)]
    if cells:
        text += ["The cells that lack most; all are in `annotations/pair_quotas.parquet`:", markdown_table(cells)]
    return Section("\n\n".join(text))


def circles(tables: Tables) -> Section:
    """How many prompts have preferences that go round in a circle."""
    found = warehouse.rows("card_circles", tables)
    return Section(markdown_table(found) if found else "There are none.")
