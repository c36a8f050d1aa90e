r"""Keep what people and models wrote from opening or closing a turn of a chat.

In: a model's tokenizer; messages. Out: the messages, with a backslash after the first character of what its template or its
tokenizer would take for more than text: `<|im_end|>` becomes `<\|im_end|>`. All other text stays as it is, and so do its tokens.
No two texts become one, since a marker that has backslashes already gets one more.
"""

import re
from collections.abc import Sequence
from typing import Any

from tasks.engines.chat import TEXTS, Message
from tasks.engines.rendering import rendered, written

BRACKETED = re.compile(r"[<\[]+[^<>\[\]\n]{1,40}[>\]]+")
QUOTED = re.compile(r"""['"]([<\[]+[^<>\[\]'"]{1,40}[>\]]+)['"]""")
SPEAKER = re.compile(r"^\W*\w[\w ]{0,30}:$")
"""What templates write that is no token of its own: `[INST]`, `<|user|>`; a `'</think>'` that they look for; `### Response:`."""
CHATS = (
    ("system", "user", "assistant", "user"),
    ("user", "assistant", "user"),
    ("system", "user"),
    ("user", "assistant"),
    ("user",),
)
"""Long ones show most; some templates take only short ones."""


def markers(tokenizer: Any, template: str | None = None) -> re.Pattern[str]:  # noqa: ANN401 (transformers is untyped here)
    """The first characters of all that a tokenizer and its chat template, or `template`, take for more than text."""
    source = written(tokenizer) or ""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {str(token) for token in added if token.special or (str(token).strip() and str(token) in source)}
    frames = [template.split("{}")] if template else [frame(tokenizer, roles) for roles in CHATS]
    found = tokens.union(QUOTED.findall(source), *(spoken_by_template(frame, tokens) for frame in frames))
    starts: dict[str, list[str]] = {}
    for marker in sorted(found):
        if len(marker.strip()) > 1:
            starts.setdefault(marker[0], []).append(re.escape(marker[1:]))
    return re.compile(
        "|".join(rf"{re.escape(first)}(?=\\*(?:{'|'.join(rest)}))" for first, rest in starts.items()) or r"(?!)"
    )


def frame(tokenizer: Any, roles: Sequence[str]) -> list[str]:  # noqa: ANN401
    """What the chat template writes before, between and after the texts of a chat; nothing where it takes no such chat."""
    chat: list[Message] = [{"role": role, "content": text} for role, text in zip(roles, TEXTS, strict=False)]
    text, _ = rendered(tokenizer, chat)
    return re.split("|".join(TEXTS), text) if text else []


def spoken_by_template(frame: Sequence[str], tokens: set[str]) -> set[str]:
    """The markers in a frame that are no tokens; what stands before the first text may be instructions of any kind."""
    found: set[str] = set()
    for place, between in enumerate(frame):
        found.update(BRACKETED.findall(between))
        beside = re.split("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)", between)
        lines = [line.strip() for part in beside for line in part.splitlines()]
        found.update(line for line in (lines if place else lines[-1:]) if SPEAKER.match(line))
    return found


def as_text(messages: Sequence[Message], found: re.Pattern[str]) -> list[Message]:
    """The messages, with what `markers` found in their texts made plain text."""
    return [message | {"content": found.sub(r"\g<0>\\", str(message["content"]))} for message in messages]
