"""Read what an endpoint replied: an answer, or an error in the endpoint's own words.

In: the status and the bytes of a reply, whatever they are. Out: what they tell of a row of `tables.COMPLETIONS`, in values
that Arrow can hold. Grain: one reply. The words in an error are one short line; they quote no answer, and nothing `hidden`:
neither the request nor the key. What a filter of the endpoint refused is an answer without text, which is not asked again.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from tasks.engines.chat import TOO_LONG, confidence
from tasks.errors import one_line

MOST_CHARACTERS = 300
"""Of an endpoint's words in an error."""
MOST_BYTES = 20_000
"""Of a reply that are looked at for words."""
PIECE = 12
"""Letters and digits in a row that words share with a text only where they quote it; a shorter text counts as a whole."""
SHORTEST_TEXT = 4
"""Letters and digits of a text; what is shorter stands in any words."""
FILTERED = "content_filter"
"""How an answer ends that a filter cut off, as OpenAI has it; also one that it refused from the start."""
FILTERS = (
    "contentfilter",
    "contentfiltered",
    "guardrailintervened",
    "safety",
    "imagesafety",
    "prohibitedcontent",
    "blocklist",
    "blacklist",
    "modelarmor",
    "recitation",
    "spii",
    "sensitive",
    "refusal",
    "errortoxic",
)
"""What providers call it, as `spelled`: OpenAI, Bedrock, Gemini, Zhipu, Anthropic, Cohere. The macro `ending` spells alike."""
CUT = (
    "length",
    "maxtokens",
    "maxoutputtokens",
    "maxnewtokens",
    "maxlength",
    "tokenlimit",
    "errorlimit",
    "modellength",
    "modelcontextwindowexceeded",
)
"""How an answer ends that was long enough, spelled: the macro `is_cut` knows it too."""
BROKEN = (
    "error",
    "abort",
    "aborted",
    "cancel",
    "cancelled",
    "canceled",
    "timeout",
    "timelimit",
    "networkerror",
    "servererror",
    "internalerror",
    "insufficientsystemresource",
    "overloaded",
    "failed",
)
"""How what is no answer ends, whatever text it has: a part of one that another try may give whole. vLLM, DeepSeek, Zhipu, others."""
MAY_REFUSE = (400, 403, 422, 451)
"""Statuses beside which a request may be refused for what it says. Others, such as 429 and 503, tell of a filter's own faults."""
REFUSALS = re.compile(
    "contentfilter|contentfiltered|contentpolicyviolation|responsibleaipolicyviolation|moderation|moderationblocked"
    "|datainspectionfailed|guardrailintervened|prohibitedcontent|safety|blocklist|modelarmor|invalidprompt"
    "|[a-z]*sensitivecontentdetected[a-z]*|(input|output)[a-z]*riskdetection|1301|1026|1027"
)
"""Codes of such a refusal, spelled: OpenAI, Azure, OpenRouter, DashScope, Bedrock, Gemini, Ark, Zhipu, MiniMax."""
REFUSING_WORDS = re.compile(
    r"content exists risk|contentpolicyviolation|content (management )?policy|usage (policy|policies|guidelines)|safety_check",
    re.IGNORECASE,
)
"""What DeepSeek, LiteLLM, Azure, OpenAI and xAI say of it in place of a code."""
SHUT_OUT = re.compile(
    "insufficient(user)?(quota|balance|funds|credits?)|exceededcurrentquota(error)?|billing(hardlimitreached|notactive)"
    "|notenoughbalance|paymentrequired|budgetexceeded|spendinglimit[a-z]*|arrearage|(invalid|incorrect)apikey|apikeyinvalid"
    "|(account|user|access|organi[sz]ation|project|apikey)(deactivated|disabled|suspended|terminated|banned|revoked|expired|overdue[a-z]*)"
    "|[a-z]*perday[a-z]*|1113|1008"
)
"""Codes of one who may ask nothing more, whatever the status: OpenAI, Moonshot, DashScope, DeepSeek, Gemini, Zhipu, MiniMax."""
SHUT_OUT_WORDS = re.compile(
    r"credit balance is too low|insufficient (account )?(balance|credits?|funds)|spending limit", re.IGNORECASE
)
"""What others say of it in place of a code, beside whatever status: Anthropic, DeepSeek, Moonshot, LiteLLM."""
CLOSED_WORDS = re.compile(
    r"\b(your|this) (account|access|organi[sz]ation|api key)( \S+){0,3} (has been|have been|was|were|is) "
    r"(suspended|deactivated|disabled|terminated|banned|revoked)",
    re.IGNORECASE,
)
"""What is said of an account that is closed, where it is forbidden (403) to ask, in place of a code."""
A_DAY_SPENT = re.compile(r"\bper[- ]day\b|\bdaily\b|\b[RT]PD\b", re.IGNORECASE)
"""Which limit was reached, where the endpoint is asked too much (429): one that no run waits for. OpenAI, Groq, OpenRouter."""
SOON_OVER = re.compile(r"per[- ]?(second|minute|hour)|\b[RT]P[SMH]\b|slow down", re.IGNORECASE)
"""What tells of another limit, which a run waits for."""
LONG = re.compile("context(length|size|window)|(prompt|input)toolong|stringabovemaxlength")
"""What stands in the code of an error that is the prompt's length, spelled: OpenAI, Azure, llama.cpp."""
LONG_WORDS = re.compile(
    r"context (length|window|size)|(prompt|input) (is )?too long|longer than the model|too many tokens"
    r"|input token count.{0,60}exceeds|must have less than \d+ tokens|max_new_tokens\W* must be <=",
    re.IGNORECASE,
)
"""What others say in place of a code: vLLM, SGLang, Mistral, Anthropic, Gemini, Cohere, TGI."""
ANSWER_WORDS = re.compile(r"max_(completion_)?tokens\W.{0,40}(too large|>|at most|must be)", re.IGNORECASE)
"""What they say where a setting asks for more than any prompt leaves room for."""
NAMES_OF_CODES = ("code", "type", "reason", "status", "status_code", "quotaId")
NO_ACCESS = "no access"
"""The fault of who may ask nothing more: without a key, a right, or money."""
FORBIDDEN = "forbidden"
"""The fault of who may not ask this, and may be anything: a right that is missing, or a wall that took one text for an attack."""
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
        fault = "no JSON" if body.strip() else "nothing"
        return {"error": describe(fault, status, words(status, None, body), hidden)}
    if is_fault(reply):
        return read_fault("error", status, body, hidden)
    used = tokens_told(reply)
    if was_blocked(reply):
        return used | {"completion": "", "finish_reason": FILTERED}
    text, finish_reason = answer_of(reply), ending_of(reply)
    if text is None and (spelled(finish_reason or "") in FILTERS or thought_alone(reply)):
        text = ""
    if text is None:
        return used | {"error": describe(instead_of_answer(reply), status, words(status, reply, body), hidden)}
    choice = reply["choices"][0]
    return {
        "completion": whole(text),
        "finish_reason": finish_reason,
        "confidence": confidence(decision, token_logprobs(choice.get("logprobs"))),
        **used,
    }


def read_fault(fault: str, status: int, body: bytes, hidden: Sequence[str]) -> dict[str, Any]:
    """What a reply tells that says that something failed: an answer that a filter refused, a prompt too long, or an error."""
    reply = parsed(body)
    found = fault_in(reply)
    own = str(found.get("code"))
    meant = int(own) if re.fullmatch("[45][0-9][0-9]", own) else status
    message = unquoted(" ".join(value for value in found.values() if isinstance(value, str)), hidden)
    codes, said = list(map(spelled, codes_of(reply))), words(status, reply, body)
    told = unquoted(said, hidden)
    is_refused = (
        any(map(REFUSALS.fullmatch, codes))
        or REFUSING_WORDS.search(message)
        or "flagged_input" in str(found.get("metadata"))
    )
    # Before what sounds like a refusal: an account that is closed for what it asked answers nothing more.
    if meant in (401, 402) or may_ask_no_more(meant, codes, f"{message} {told}"):
        fault = NO_ACCESS
    elif is_refused and (meant < 300 or meant in MAY_REFUSE):
        return tokens_told(reply) | {"completion": "", "finish_reason": FILTERED}
    elif meant == 403:
        fault = FORBIDDEN
    elif meant in (400, 413, 422) and (
        any(map(LONG.search, codes)) or (LONG_WORDS.search(told) and not ANSWER_WORDS.search(told))
    ):
        fault = TOO_LONG
    return tokens_told(reply) | {"error": describe(fault, status, said, hidden)}


def will_stay(status: int, body: bytes) -> bool:
    """Whether an error says that to ask again is in vain, even where its status says that the endpoint is busy."""
    reply = parsed(body)
    return may_ask_no_more(status, map(spelled, codes_of(reply)), words(status, reply, body))


def may_ask_no_more(status: int, codes: Iterable[str], said: str) -> bool:
    """Whether the spelled codes of a fault, or what was said of it, tell that the key is wrong or the quota spent."""
    is_over = SHUT_OUT_WORDS.search(said) or (status == 429 and A_DAY_SPENT.search(said))
    is_closed = status == 403 and CLOSED_WORDS.search(said)
    return any(map(SHUT_OUT.fullmatch, codes)) or bool(is_closed or (is_over and not SOON_OVER.search(said)))


def spelled(code: str) -> str:
    """The letters and digits of a code, in lower case, without what some write behind a colon."""
    return re.sub("[^a-z0-9]", "", code.partition(":")[0].lower())


def parsed(body: bytes | str) -> object:
    """The reply as JSON; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def fault_in(reply: object) -> dict[Any, Any]:
    """What a reply tells of what failed."""
    match reply:
        case {"error": {**fault}} | [{"error": {**fault}}, *_] | {"choices": [{"error": {**fault}}, *_]} | {**fault}:
            return fault
    return {}


def codes_of(reply: object, depth: int = 8) -> Iterator[str]:
    """What stands in a reply as code, type, reason or status of a fault, however deep, also in a reply that it quotes."""
    for value in reply if isinstance(reply, list) else []:
        yield from codes_of(value, depth)
    for name, value in reply.items() if isinstance(reply, dict) and depth else []:
        if name in NAMES_OF_CODES and isinstance(value, str | int):
            yield str(value)
        yield from codes_of(parsed(value) if name == "raw" and isinstance(value, str) else value, depth - 1)


def is_fault(reply: object) -> bool:
    """Whether a reply says that something failed, whatever text stands beside it."""
    match reply:
        case {"error": fault} | {"choices": [{"error": fault}, *_]} if fault:
            return True
        case {"choices": [{"finish_reason": str(word)}, *_]} if spelled(word) in BROKEN:
            return True
        case {"base_resp": {"status_code": float(code)}} if code:
            return True
    return False


def was_blocked(reply: object) -> bool:
    """Whether a reply without choices says that a filter refused the prompt, beside no error: Gemini, Azure."""
    match reply:
        case {"choices": [_, *_]}:
            return False
        case {"promptFeedback": {"blockReason": str()}} | {"prompt_feedback": {"block_reason": str()}}:
            return True
        case {"prompt_filter_results": [*results]} | {"prompt_annotations": [*results]}:
            return any(
                is_filtered(value) for result in results for value in values_of(result, "content_filter_results")
            )
    return False


def values_of(holder: object, name: str) -> list[object]:
    """The values of the object that stands in another one under `name`; none where there is none."""
    found = holder.get(name) if isinstance(holder, dict) else None
    return list(found.values()) if isinstance(found, dict) else []


def is_filtered(value: object) -> bool:
    """Whether one kind of filter says that it refused something."""
    return isinstance(value, dict) and value.get("filtered") is True


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


def thought_alone(reply: object) -> bool:
    """Whether the first choice holds a message in which the model only thought, shown or not, and came to no answer."""
    match reply:
        case {"choices": [{"message": {"tool_calls": [_, *_]}}, *_]}:
            return False
        case {"choices": [{"message": {"reasoning_content": str(text)}}, *_]} if text:
            return True
        case {"choices": [{"message": {"reasoning": str(text)}}, *_]} if text:
            return True
        case {"choices": [{"message": {"content": [{"type": "thinking"}, *_]}}, *_]}:
            return True
        case {"choices": [{"message": {}, "finish_reason": str(word)}, *_]}:
            return spelled(word) in CUT
    return False


def ending_of(reply: object) -> str | None:
    """How the first choice says that it ended, in its own word."""
    match reply:
        case {"choices": [{"finish_reason": str(word)}, *_]}:
            return whole(word)
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


def tokens_told(reply: object) -> dict[str, int | None]:
    """The tokens that a reply says it cost, whether it holds an answer or not."""
    used = reply.get("usage") if isinstance(reply, dict) else None
    return {"input_tokens": count(used, "prompt_tokens"), "output_tokens": count(used, "completion_tokens")}


def count(used: object, name: str) -> int | None:
    """A number of tokens, if it is one; 0 is what some say who do not count."""
    value = used.get(name) if isinstance(used, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value < 2**53 and value == int(value) else None


def token_logprobs(logprobs: object) -> list[tuple[str, float]]:
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


def describe(fault: str, status: int, said: str, hidden: Sequence[str]) -> str:
    """A fault with its status and what the endpoint said of it, in one short line."""
    message = one_line(unescaped(said))
    message = NAME_OF_ONE.sub(lambda name: "…", unquoted(message, hidden))
    short = message if len(message) <= MOST_CHARACTERS else f"{message[: MOST_CHARACTERS - 1]}…"
    return f"{fault} (status {status})" + (f": {short}" if short else "")


def words(status: int, reply: object, body: bytes) -> str:
    """What a reply says of a fault, its beginning. Beside a status of success it may be an answer in another form: that stays out."""
    return all_words(status, reply, body)[:MOST_BYTES]


def all_words(status: int, reply: object, body: bytes) -> str:
    """The same, whole where it is JSON."""
    refused = status >= 300
    match reply:
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"detail": str(message)}:
            return message
        case {"message": str(message)} if refused:
            return message
        case {"base_resp": {"status_msg": str(message)}}:
            return message
        case {"error": {} | [*_] as fault}:
            return json.dumps(fault, ensure_ascii=False)
    page = body[:MOST_BYTES].decode("utf-8", "replace")
    return TAGS.sub(" ", page) if refused or PAGE.match(page) else ""


def unescaped(text: str) -> str:
    """The text behind the escapes of JSON, Python, URLs and HTML, in which a request may be quoted."""
    text = re.sub(r"(?<!\\)\\+u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    text = re.sub(r"(?<!\\)\\+x([0-9a-fA-F]{2})", r"%\1", whole(text))
    return html.unescape(unquote(re.sub(r"(?<!\\)\\+[nrt]", " ", text)))


def unquoted(message: str, hidden: Sequence[str]) -> str:
    """The words with `…` for what they quote, whatever of its case, accents, blanks and punctuation was changed."""
    places = [(place, letter) for place, character in enumerate(message) for letter in letters(character)]
    spelled = "".join(letter for _, letter in places)
    quoted = sorted({number for text in map(letters, hidden) for number in shared(spelled, text)})
    for first, last in reversed(list(runs(quoted))):
        message = f"{message[: places[first][0]]}…{message[places[last][0] + 1 :]}"
    return message


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
