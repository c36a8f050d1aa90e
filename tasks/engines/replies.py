"""Read what an endpoint replied: an answer, or an error in the endpoint's own words.

In: the status and the bytes of a reply, whatever they are. Out: what they tell of a row of `tables.COMPLETIONS`, in values
that Arrow can hold. Grain: one reply. The words in an error are one short line; they quote no answer, and nothing `hidden`:
neither the request nor the key.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from tasks.engines.chat import confidence
from tasks.errors import one_line

MOST_CHARACTERS = 300
"""Of an endpoint's words in an error."""
MOST_BYTES = 20_000
"""Of a reply that are looked at for words."""
PIECE = 12
"""Letters and digits in a row that words share with a text only where they quote it; a shorter text counts as a whole."""
SHORTEST_TEXT = 4
"""Letters and digits of a text; what is shorter stands in any words."""
PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
NAME_OF_ONE = re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}")
"""What names one request or one moment, and would make each error another one."""


def read_reply(status: int, body: bytes, decision: str | None, hidden: Sequence[str]) -> dict[str, Any]:
    """The answer in a reply that claims to hold one, or an error; what stands wrongly beside an answer is unknown."""
    try:
        # As floats: of an integer too long for Python nothing else would be read.
        reply = json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        return {"error": describe("no JSON" if body.strip() else "nothing", status, body, hidden)}
    if is_fault(reply):
        return {"error": describe("error", status, body, hidden)}
    text = answer_of(reply)
    if text is None:
        return {"error": describe(instead_of_answer(reply), status, body, hidden)}
    choice = reply["choices"][0]
    finish_reason = choice.get("finish_reason")
    return {
        "completion": whole(text),
        "finish_reason": whole(finish_reason) if isinstance(finish_reason, str) else None,
        "input_tokens": count(reply.get("usage"), "prompt_tokens"),
        "output_tokens": count(reply.get("usage"), "completion_tokens"),
        "confidence": confidence(decision, spoken(choice.get("logprobs"))),
    }


def is_fault(reply: object) -> bool:
    """Whether a reply says that something failed, whatever text stands beside it."""
    match reply:
        case {"error": fault} | {"choices": [{"error": fault}, *_]} if fault:
            return True
        case {"choices": [{"finish_reason": "error"}, *_]}:
            return True
    return False


def answer_of(reply: object) -> str | None:
    """The text of the first choice: its content, its parts of text joined, or the words with which the model refuses."""
    match reply:
        case {"choices": [{"message": {"content": str(text)}}, *_]} if text:
            return text
        case {"choices": [{"message": {"content": [*parts]}}, *_]} if texts := list(texts_of(parts)):
            return "".join(texts)
        case {"choices": [{"message": {"refusal": str(text)}}, *_]} if text:
            return text
        case {"choices": [{"message": {"content": ""}}, *_]}:
            return ""
    return None


def texts_of(parts: list[object]) -> Iterator[str]:
    """What the parts of a message say, those aside that are no text, such as thoughts and images."""
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
                yield text


def instead_of_answer(reply: object) -> str:
    """What a reply is that holds no answer."""
    match reply:
        case {"choices": [{"message": {"tool_calls": [_, *_]}}, *_]}:
            return "tool calls instead of text"
        case {"choices": [{"message": {}}, *_]}:
            return "message without text"
        case {"choices": [_, *_]}:
            return "choice without message"
        case {}:
            return "no choices"
    return {list: "list", str: "text", float: "number", bool: "true or false"}.get(type(reply), "null")


def whole(text: str) -> str:
    """The text with half of a pair of surrogates, which UTF-8 cannot hold, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def count(used: object, name: str) -> int | None:
    """A number of tokens, if it is one."""
    value = used.get(name) if isinstance(used, dict) else None
    return int(value) if isinstance(value, float) and value.is_integer() and 0 <= value < 2**53 else None


def spoken(logprobs: object) -> list[tuple[str, float]]:
    """The tokens of an answer with their log-probabilities; none where one of them is no token or has none."""
    match logprobs:
        case {"content": [*entries]}:
            found = [token for entry in entries for token in tokens_of(entry)]
            return found if len(found) == len(entries) else []
    return []


def tokens_of(entry: object) -> Iterator[tuple[str, float]]:
    """The one token of an entry, if it is one."""
    match entry:
        case {"token": str(token), "logprob": float(logprob)} if logprob <= 0:
            yield token, logprob


def describe(fault: str, status: int, body: bytes, hidden: Sequence[str]) -> str:
    """A fault with its status and what the endpoint said of it, in one short line."""
    said = one_line(unescaped(words(status, body)[:MOST_BYTES]))
    said = NAME_OF_ONE.sub(lambda name: "…", unquoted(said, hidden))
    short = said if len(said) <= MOST_CHARACTERS else f"{said[: MOST_CHARACTERS - 1]}…"
    return f"{fault} (status {status})" + (f": {short}" if short else "")


def words(status: int, body: bytes) -> str:
    """What a reply says of a fault. Beside a status of success it may be an answer in another form: that stays out."""
    refused = status >= 300
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    match reply:
        case {"error": {"message": str(said)}} | {"error": str(said)} | {"detail": str(said)}:
            return said
        case {"message": str(said)} if refused:
            return said
        case {"error": {} | [*_] as said}:
            return json.dumps(said, ensure_ascii=False)
    page = body[:MOST_BYTES].decode("utf-8", "replace")
    return TAGS.sub(" ", page) if refused or PAGE.match(page) else ""


def unescaped(said: str) -> str:
    """The text behind the escapes of JSON, Python, URLs and HTML, in which a request may be quoted."""
    said = re.sub(r"(?<!\\)\\+u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), said)
    said = re.sub(r"(?<!\\)\\+x([0-9a-fA-F]{2})", r"%\1", whole(said))
    return html.unescape(unquote(re.sub(r"(?<!\\)\\+[nrt]", " ", said)))


def unquoted(said: str, hidden: Sequence[str]) -> str:
    """The words with `…` for what they quote, whatever of its case, accents, blanks and punctuation was changed."""
    places = [(place, letter) for place, character in enumerate(said) for letter in letters(character)]
    spelled = "".join(letter for _, letter in places)
    quoted = sorted({number for text in map(letters, hidden) for number in shared(spelled, text)})
    for first, last in reversed(list(runs(quoted))):
        said = f"{said[: places[first][0]]}…{said[places[last][0] + 1 :]}"
    return said


def shared(spelled: str, text: str) -> Iterator[int]:
    """Where in `spelled` a piece of the text stands."""
    of_signs = any("\u2e80" <= letter <= "\u9fff" for letter in text)  # each says as much as a word
    length = min(4 if of_signs else PIECE, len(text))
    if length < (2 if of_signs else SHORTEST_TEXT):
        return
    pieces = {text[start : start + length] for start in range(len(text) - length + 1)}
    for start in range(len(spelled) - length + 1):
        if spelled[start : start + length] in pieces:
            yield from range(start, start + length)


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of numbers that are not far from each other: an escape may break a quotation in two."""
    ends = [at for at, (one, other) in enumerate(pairwise(numbers)) if other - one > PIECE]
    if numbers:
        for first, last in zip([0, *(end + 1 for end in ends)], [*ends, len(numbers) - 1], strict=True):
            yield numbers[first], numbers[last]


def letters(text: str) -> str:
    """The letters and digits of a text, in lower case, without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalnum())
