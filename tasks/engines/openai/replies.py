"""Read what an endpoint replied: an answer, or an error in the endpoint's own words.

In: the status and the bytes of a reply, whatever they are. Out: what they tell of a row of `tables.COMPLETIONS`, in values
that Arrow can hold. Grain: one reply. The words in an error are one short line; they quote no answer, and nothing `hidden`:
neither the request nor the key. What a filter of the endpoint refused is an answer without text, which is not asked again.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
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
    "filter|guardrail|safety|prohibited|bl[ao]ck|recitation|spii|sensitive|refus|toxic|armor|moderat|jailbreak|policy"
    "|language$"
)
"""What stands in the word for it, `spelled`: OpenAI, Bedrock, Gemini, Vertex, Zhipu, Anthropic, Cohere. The macro `is_filtered` has
it too."""
CUT = "length|context|maxlen|max[a-z]*(token|output)|(token|error)limit|truncat|incomplete"
"""What stands in the word for an end of what was long enough, spelled: OpenAI, Anthropic, Gemini, Mistral, Cohere, TGI, watsonx,
xAI, Reka. The macro `is_cut` has it too."""
BROKEN = (
    "error$|abort|cancel|timeout|timedout|timelimit|ratelimit|resource|fail|malformed|interrupt|disconnect"
    "|unavailable|overload|notfinished"
)
"""What stands in the word for an end of what is no answer, whatever text it has: vLLM, DeepSeek, Zhipu, Cohere, watsonx, Gemini."""
MAY_REFUSE = (400, 403, 422, 446, 451)
"""Statuses beside which a request may be refused for what it says. Others, such as 429 and 503, tell of a filter's own faults."""
REFUSALS = re.compile(
    "contentfilter(ed)?|(content|usage|safety|cyber|responsibleai)policy(violation(error)?)?|moderation(blocked)?"
    "|datainspectionfailed|guardrailintervened|hooksfailed|prohibitedcontent|blocklist|safety|modelarmor|invalidprompt|censorshipblocked"
    "|[a-z]*sensitive(content|words)detected[a-z]*|[a-z]*riskdetection|[a-z]*illegaldetected|1301|1026|1027|1001[34]"
)
"""Codes of such a refusal, spelled: OpenAI, Azure, OpenRouter, DashScope, Bedrock, Portkey, Gemini, Vertex, StepFun, Ark, Hunyuan,
one-api, Zhipu, MiniMax, Spark."""
REFUSING_WORDS = re.compile(
    r"content exists risk|contentpolicyviolation|(content|guardrail) ((management|filtering|safety|moderation) )?policy|safety_check"
    r"|(usage|safety) (policy|policies|guidelines)|safety system|for safety reasons|model armor|considered high risk"
    r"|inappropriate content|sensitive (content|information|words)|violated guardrail"
    r"|(prompt|input|output|response|content|message|text) (has been |have been |is |was |were )?(blocked|filtered|flagged|censored)",
    re.IGNORECASE,
)
"""What DeepSeek, LiteLLM, Azure, OpenAI, xAI, Vertex, Moonshot, DashScope, Anthropic and Cloudflare say of it in place of a code."""
SHUT_OUT = re.compile(
    "insufficient(user|account)?(quota|balance|funds|credits?)|exceededcurrentquota(error)?|[a-z]*billing[a-z]*"
    "|notenoughbalance|paymentrequired|budgetexceeded|arrearage|[a-z]*overdue[a-z]*|spend(ing)?limit[a-z]*|[a-z]*freetieronly"
    "|preconsumetokenquotafailed|(invalid|incorrect|missing)apikey|apikey(invalid|missing|expired|serviceblocked)"
    "|(account|user|organi[sz]ation|project|team|workspace|tenant|subscription|consumer|(api)?key|access)"
    "(suspended|deactivated|disabled|terminated|revoked|banned|blocked|locked|closed|expired|frozen|inactive|notactive)(error)?"
    "|[a-z]*(perday|daily|monthly)[a-z]*|111[0-3]|1121|1304|1309|1310|1008|2049"
)
"""Codes of one who may ask nothing more, whatever the status: OpenAI, Moonshot, DashScope, DeepSeek, Gemini, Ark, one-api, Zhipu,
MiniMax."""
SHUT_OUT_WORDS = re.compile(
    r"credit balance is too low|(insufficient|not enough) ((account|user|remaining) )?(balance|credits?|funds)"
    r"|balance (is )?(insufficient|not enough|exhausted)|(out of|no|used all available|exceeded your monthly included) credits"
    r"|credits (have |are )?(expired|exhausted)|spend(ing)? limit|billing hard limit|(api )?usage limits.{0,40}regain access"
    r"|budget has been exceeded|payment required|overdue (balance|payment|bill|invoice)|account.{0,40}overdue|free (tier|trial|quota|allocation)\b.{0,80}exhausted|exhausted its free"
    r"|(balance|quota) is not enough|余额不足|额度不足|欠费",
    re.IGNORECASE,
)
"""What Anthropic, DeepSeek, OpenRouter, SiliconFlow, xAI, Hugging Face, OpenAI, LiteLLM, Ark, DashScope and one-api say of it in
place of a code."""
OF_DAYS = re.compile(
    r"(per[ _-]?|/ ?)(day|month)\b|\b(daily|monthly) (\w+ ){0,2}(limit|quota|allocation|allowance)|\b[RT]PD\b",
    re.IGNORECASE,
)
"""What Groq, OpenRouter, Cohere and Cloudflare say of what is spent for today, or for longer."""
OF_MINUTES = re.compile(r"(per[ _-]?|/ ?)(minute|min|second|sec|hour)\b|\b[RT]P[SMH]\b|slow down", re.IGNORECASE)
"""What stands beside it where the limit that was met may be a short one."""
SUSPENDED = re.compile(
    r"\b(account|organi[sz]ation|project|team|workspace|tenant|subscription|consumer|api[ -]?key|access)\b"
    r"(?:(?!\b(temporar|may|might|could|can|will|would|prompt|request|input|output|content|message|response|text|polic|setting|filter|guard))"
    r"[^.;!?\n]){0,80}?\W(suspended|deactivated|disabled|terminated|revoked|banned|locked|frozen|expired)\b"
    r"|\b(suspended|deactivated|disabled|banned|locked) (account|organi[sz]ation|project|user|api[ -]?key)\b",
    re.IGNORECASE,
)
"""What is said of an account that was shut, which may be for the policy that a filter names, and of none that only may be."""
LONG = re.compile("context(length|size|window)|(prompt|input)toolong|stringabovemaxlength|requesttoolarge|^1261$")
"""What stands in the code of an error that is the prompt's length, spelled: OpenAI, Azure, llama.cpp, Anthropic, Zhipu."""
LONG_WORDS = re.compile(
    r"context (length|window|size)|(prompt|input|request) (is )?too (long|large)|longer than the model|too many (input )?tokens"
    r"|maximum prompt length|range of input length|input length.{0,40} exceed|exceed(s|ed) model token limit"
    r"|input token count.{0,60}exceeds|must have less than \d+ tokens|max_new_tokens\W* must be <=",
    re.IGNORECASE,
)
"""What others say in place of a code: vLLM, SGLang, Mistral, Anthropic, Gemini, Cohere, TGI, Groq, xAI, DashScope, Ark, Moonshot."""
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
    text, finish_reason = answer_of(reply), ending_of(reply)
    is_filtered = re.search(FILTERS, spelled(finish_reason or ""))
    if not text and not is_filtered and is_blocked(reply):
        return used | {"completion": "", "finish_reason": FILTERED}
    if text is None and (is_filtered or thought_alone(reply)):
        text = ""
    if text is None:
        return used | {"error": describe(instead_of_answer(reply), status, words(status, reply, body), hidden)}
    return {
        "completion": whole(text),
        "finish_reason": finish_reason,
        "confidence": confidence(decision, token_logprobs(logprobs_of(reply))),
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
    is_shut, sounds_shut = any(map(SHUT_OUT.fullmatch, codes)), is_told_off(meant, told)
    is_refused = any(map(REFUSALS.fullmatch, codes)) or "flagged_input" in str(found.get("metadata"))
    sounds_refused = not sounds_shut and REFUSING_WORDS.search(message)
    if not is_shut and (is_refused or sounds_refused) and (meant < 300 or meant in MAY_REFUSE):
        return tokens_told(reply) | {"completion": "", "finish_reason": FILTERED}
    if meant in (401, 402) or is_shut or sounds_shut:
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


def may_ask_no_more(status: int, body: bytes) -> bool:
    """Whether a reply that is a fault says that the key is wrong, the account shut or the quota spent."""
    reply = parsed(body)
    return any(map(SHUT_OUT.fullmatch, map(spelled, codes_of(reply)))) or is_told_off(
        status, words(status, reply, body)
    )


def is_told_off(status: int, told: str) -> bool:
    """Whether words say the same. A server that is down may shut much for a while, and many limits are told by the day."""
    is_spent = SHUT_OUT_WORDS.search(told) or (status < 500 and SUSPENDED.search(told))
    of_days = status in (402, 403, 429) and OF_DAYS.search(told)
    return bool((is_spent or of_days) and not OF_MINUTES.search(told))


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
    for value in reply if isinstance(reply, list) and depth else []:
        yield from codes_of(value, depth - 1)
    for name, value in reply.items() if isinstance(reply, dict) and depth else []:
        if name in NAMES_OF_CODES and isinstance(value, str | int):
            yield str(value)
        yield from codes_of(parsed(value) if name == "raw" and isinstance(value, str) else value, depth - 1)


def is_fault(reply: object) -> bool:
    """Whether a reply says that something failed, whatever text stands beside it."""
    match reply:
        case {"error": fault} | {"choices": [{"error": fault}, *_]} if fault:
            return True
        case {"choices": [{"finish_reason": str(word)}, *_]} if re.search(BROKEN, spelled(word)):
            return True
        case {"base_resp": {"status_code": float(code)}} if code:
            return True
        case {"choices": [_, *_]}:
            return False
        case {"code": str() | int() | float() as code, "message": str()}:
            return str(code).removesuffix(".0").lower() not in ("", "0", "200", "ok", "success")
    return False


def is_blocked(reply: object, depth: int = 8) -> bool:
    """Whether a reply without an answer says anywhere that a filter took it: Gemini, Azure, MiniMax."""
    if isinstance(reply, list):
        return depth > 0 and any(is_blocked(value, depth - 1) for value in reply)
    named = reply.items() if isinstance(reply, dict) and depth else []
    return any(
        (spelled(name) in ("filtered", "inputsensitive", "outputsensitive") and value is True)
        or (spelled(name) == "blockreason" and isinstance(value, str) and not spelled(value).endswith("unspecified"))
        or is_blocked(value, depth - 1)
        for name, value in named
    )


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
            return bool(re.search(CUT, spelled(word)))
    return False


def ending_of(reply: object) -> str | None:
    """How the first choice says that it ended, in its own word."""
    match reply:
        case {"amazon-bedrock-guardrailAction": "INTERVENED"}:
            return "guardrail_intervened"
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


def logprobs_of(reply: object) -> object:
    """What the first choice tells of its tokens."""
    match reply:
        case {"choices": [{"logprobs": logprobs}, *_]}:
            return logprobs
    return None


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
        case {"message": str(message)} if refused or is_fault(reply):
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
