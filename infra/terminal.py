"""What is printed for people, as it is.

In: nothing. Out: a console that takes no text for markup or for the name of an emoji, and lets none move the cursor: most of what
it prints is named by users, or was written by others. And an end of one line where somebody is no longer interested.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.text import plain

WIDTH = 140
"""Columns of tables on the terminal."""


class Terminal(Console):
    """Prints each text, cells of tables too, on the lines that it is given."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 (rich's)
        """What rich makes of every text."""
        return super().render_str(plain(text), **options)


def terminal() -> Console:
    """The standard output."""
    return Terminal(width=WIDTH, highlight=False, markup=False, emoji=False)


@contextmanager
def stops_in_one_line() -> Iterator[None]:
    """End a command that Ctrl-C comes to in the body, and that has nothing at work elsewhere; a run has more to end."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("stopped by SIGINT\n")
        sys.exit(128 + signal.SIGINT)
