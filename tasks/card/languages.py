"""What a card says of languages: which ones prompts and answers are in, and how many answers leave their prompt's.

In: the tables of all stages. Out: a section of the card.
"""

from tasks import warehouse
from tasks.card.charts import draw_languages
from tasks.card.markdown import Section, markdown_table
from tasks.warehouse import Tables

MOST_LANGUAGES = 12


def languages(tables: Tables) -> Section:
    """The shares of languages among prompts and answers, and the answers in another language than their prompt."""
    rows = warehouse.rows("card_languages", tables, most=MOST_LANGUAGES)
    others = warehouse.rows("card_other_languages", tables)
    left = sum(row["in_another_language"] for row in others)
    text = [
        markdown_table(rows),
        f"Answers in another language than their prompt: {left:,}. A prompt may ask for that, for instance for a translation. "
        "`told` counts answers where both languages could be told.",
        markdown_table(others),
    ]
    return Section("\n\n".join(text), {"languages": draw_languages(rows)})
