"""The form of every part of the configuration, and of the texts and numbers in it.

In: the values of one TOML table. Out: a frozen section; unknown keys are refused, and so are NaN and infinity. Every number has
a lower and an upper bound, which all that it is handed to can take.
"""

import re
import unicodedata
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from infra import storage

LONGEST = 10_000_000
"""Tokens: no model has room for more."""
LONGEST_PATH = 4_000
"""Characters of a path, a URI or a name: systems take about as many, and fewer of each part."""
HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%25[\w.-]+)?")
"""A name or an address, that of IPv6 without its brackets, maybe with a zone."""


class Section(BaseModel):
    """A part of the file: frozen, no unknown keys, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def without_controls(text: str) -> str:
    """The text; raises ValueError where characters are in it that no path, address or name holds."""
    if not text.strip():
        raise ValueError("it is blank; give it a text or leave the key out")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError("control characters are in it; remove them")
    return text


def web_address(text: str) -> str:
    """The address; raises ValueError where it is none of a web server."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        reached = parts.scheme in ("http", "https") and HOST.fullmatch(host) and parts.port != 0
    except ValueError:  # brackets, or a port, that are none
        reached = False
    if not reached or not text.isprintable() or " " in text:
        raise ValueError("it is no address of a web server: http:// or https://, a host and a path, without blanks")
    return text


def open_address(text: str) -> str:
    """The address; raises ValueError where a query is in it, or what comes after it: no key may stand there."""
    if "?" in web_address(text) or "#" in text:
        raise ValueError(
            "a query or a fragment is in it; take it out, and put a key into the environment variable for it"
        )
    return text


def address_alone(text: str) -> str:
    """The same; raises ValueError where a user or a password is in it, which would be sent instead of the key."""
    if storage.shown(open_address(text)) != text:
        raise ValueError(
            "a user or a password is in it; take it out, and put the key into the environment variable for it"
        )
    return text


Words = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(without_controls)]
"""A path, a URI or a name in one line."""
WebAddress = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(address_alone)]
WithUser = Annotated[
    str, Field(max_length=LONGEST_PATH), AfterValidator(open_address), PlainSerializer(storage.shown, when_used="json")
]
"""A web address that may hold a user and a password (`https://user:password@host`), which are never written."""
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=255)]
"""The name of an environment variable."""
