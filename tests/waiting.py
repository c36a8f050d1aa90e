"""The one place where tests wait for something that others do."""

import time
from collections.abc import Callable
from contextlib import suppress


class Late(Exception):
    """What was waited for did not come in time."""


def until(predicate: Callable[[], object], seconds: float = 300, what: str = "") -> None:
    """Wait until `predicate` holds; raises Late after so many seconds."""
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise Late(f"not within {seconds:.0f} s: {what or getattr(predicate, '__name__', predicate)}")
        time.sleep(0.1)


def becomes(expected: object, read: Callable[[], object], seconds: float = 60) -> None:
    """Wait until what is read is what is expected, since who writes it does so in a while; shows both if it never is."""
    with suppress(Late):
        until(lambda: read() == expected, seconds)
    assert read() == expected
