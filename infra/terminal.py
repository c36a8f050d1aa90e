"""What is printed for people, as it is.

In: nothing. Out: a console that takes no text for markup or for the name of an emoji: most of what it prints is named by users.
"""

from rich.console import Console

WIDTH = 140
"""Columns of tables on the terminal."""


def terminal() -> Console:
    """The standard output."""
    return Console(width=WIDTH, highlight=False, markup=False, emoji=False)
