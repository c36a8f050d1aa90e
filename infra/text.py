"""Text that others wrote, for people.

In: text. Out: the same without what does more than to be read. Grain: one text.
"""

import unicodedata


def plain(text: str) -> str:
    """Text with blanks in place of what ends a line, moves a cursor or turns the direction of writing."""
    return "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
