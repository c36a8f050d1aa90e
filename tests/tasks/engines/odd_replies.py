"""Replies that no documentation speaks of, as the bytes that an endpoint sends, and the answer in those that have one."""

import gzip
import json
import math
from typing import Any


def http(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """A reply as it goes over the wire; a body that is no text and no bytes goes as JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": content_type, "Content-Length": str(len(content)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Odd\r\n{head}\r\n".encode() + content


def chat(message: object, usage: object = None, **choice: object) -> dict[str, Any]:
    """A completion as the API documents it, around whatever message."""
    choices = [{"index": 0, "finish_reason": "stop", "message": message} | choice]
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}


def says(content: object, usage: object = None, **choice: object) -> dict[str, Any]:
    """The same, around whatever content."""
    return chat({"role": "assistant", "content": content}, usage, **choice)


def text(content: object) -> dict[str, object]:
    """A part of a message."""
    return {"type": "text", "text": content}


CALL = {"id": "1", "type": "function", "function": {"name": "plant", "arguments": "{}"}}
GOOD = says("Plant them deep.")
FILE = json.dumps(GOOD).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS: dict[str, tuple[bytes, str]] = {
    "high surrogate": (http(says("smile \ud83d")), "smile \ufffd"),
    "low surrogate": (http(says("\ude00 smile", finish_reason="\ude00")), "\ufffd smile"),
    "surrogates in UTF-8": (http(b'{"choices": [{"message": {"content": "a\xed\xa0\xbdb"}}]}'), "a\ufffdb"),
    "a pair of surrogates": (http(says("smile \U0001f600")), "smile \U0001f600"),
    "one part": (http(says([text("Plant them.")])), "Plant them."),
    "parts": (http(says([text("Plant "), {"type": "image_url", "image_url": {}}, text("them.")])), "Plant them."),
    "parts with thoughts": (http(says([{"type": "thinking", "thinking": [text("Hm.")]}, text("Yes.")])), "Yes."),
    "parts of any kind": (http(says([None, 3, "x", [], text(None), text("Yes.")])), "Yes."),
    "refusal": (http(chat({"content": None, "refusal": "I would rather not."})), "I would rather not."),
    "refusal beside nothing": (http(chat({"content": "", "refusal": "Rather not."})), "Rather not."),
    "refusal as a part": (http(says([{"type": "refusal", "refusal": "Rather not."}])), "Rather not."),
    "empty content": (http(says("")), ""),
    "NUL in content": (http(says("Plant\0them.")), "Plant\0them."),
    "no finish reason": (http({"choices": [{"message": {"content": "Yes."}}]}), "Yes."),
    "finish reason of another type": (http(says("Yes.", finish_reason=["stop", 1])), "Yes."),
    "usage of another type": (http(says("Yes.", usage="much")), "Yes."),
    "tokens of other types": (
        http(says("Yes.", usage={"prompt_tokens": "3", "completion_tokens": [2]})),
        "Yes.",
    ),
    "tokens below nothing": (http(says("Yes.", usage={"prompt_tokens": -3, "completion_tokens": 1.5})), "Yes."),
    "too many tokens": (http(says("Yes.", usage={"prompt_tokens": 10**30, "completion_tokens": 2**63})), "Yes."),
    "endless tokens": (
        http(FILE.replace(b'"usage": null', b'"usage": {"prompt_tokens": ' + b"9" * 9000 + b"}")),
        "Plant them deep.",
    ),
    "true tokens": (http(says("Yes.", usage={"prompt_tokens": True, "completion_tokens": None})), "Yes."),
    "null logprobs": (http(says("Yes.", logprobs=None)), "Yes."),
    "null logprob": (http(says("Yes.", logprobs={"content": [{"token": "Yes.", "logprob": None}]})), "Yes."),
    "NaN logprob": (http(says("Yes.", logprobs={"content": [{"token": "Yes.", "logprob": math.nan}]})), "Yes."),
    "huge logprob": (http(says("Yes.", logprobs={"content": [{"token": "Yes.", "logprob": 1e308}]})), "Yes."),
    "logprobs of other types": (http(says("Yes.", logprobs={"content": [3, None, {"token": 3}]})), "Yes."),
    "logprobs as a list": (http(says("Yes.", logprobs=[-0.1])), "Yes."),
    "byte order mark": (http(b"\xef\xbb\xbf" + FILE), "Plant them deep."),
    "UTF-16": (http(json.dumps(GOOD).encode("utf-16")), "Plant them deep."),
    "called a text": (http(GOOD, content_type="text/html"), "Plant them deep."),
    "called nothing": (http(GOOD, content_type=""), "Plant them deep."),
    "called by no encoding": (http(GOOD, content_type="application/json; charset=rot13"), "Plant them deep."),
    "status 201": (http(GOOD, status=201), "Plant them deep."),
    "longer than anybody asked for": (http(says("word " * 200_000)), "word " * 200_000),
    "a second choice that is null": (http(GOOD | {"choices": [*GOOD["choices"], None]}), "Plant them deep."),
    "names twice": (http(FILE.replace(b'{"id"', b'{"choices": null, "id"')), "Plant them deep."),
}
THOUGHT = {"role": "assistant", "content": None}
ANSWERS |= {
    "thought alone, as DeepSeek shows it": (
        http(chat(THOUGHT | {"reasoning_content": "Hm."}, finish_reason="length")),
        "",
    ),
    "thought alone, as vLLM shows it": (http(chat(THOUGHT | {"reasoning": "Hm.", "reasoning_content": None})), ""),
    "thought alone, beside an empty name of it": (
        http(chat(THOUGHT | {"reasoning": "Hm.", "reasoning_content": ""})),
        "",
    ),
    "thought alone, as a part": (
        http(says([{"type": "thinking", "thinking": [text("Hm.")]}], finish_reason="length")),
        "",
    ),
    "thought alone, not shown": (http(chat({"role": "assistant"}, finish_reason="MAX_TOKENS")), ""),
    "thought that does not end": (http(says("<think>\nHm.", finish_reason="length")), "<think>\nHm."),
    "thought, then an answer": (http(chat({"content": "Yes.", "reasoning_content": "Hm."})), "Yes."),
}
"""Of models that think apart from their answer."""
REFUSED = {"code": None, "message": "refused by a filter", "type": "invalid_request_error"}
AZURE = REFUSED | {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
ANSWERS |= {
    "an end of another name": (http(says("Yes.", finish_reason="end_turn")), "Yes."),
    "an end without a name": (http(says("Yes.", finish_reason="")), "Yes."),
    "no tokens": (http(says("Yes.", usage={"prompt_tokens": 0, "completion_tokens": 0})), "Yes."),
    "cut off by a filter": (http(says("Plant them d", finish_reason="content_filter")), "Plant them d"),
    "cut off by Gemini's filter": (http(says("Plant them d", finish_reason="SAFETY")), "Plant them d"),
    "filtered as a whole": (http(chat({"role": "assistant"}, finish_reason="content_filter")), ""),
    "filtered to null": (http(says(None, finish_reason="content_filter")), ""),
    "refused by OpenAI": (http({"error": REFUSED | {"code": "content_policy_violation"}}, status=400), ""),
    "refused by Azure": (http({"error": AZURE}, status=400), ""),
    "refused by OpenRouter": (
        http({"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "…"}}}, status=403),
        "",
    ),
    "refused by DashScope": (http({"error": REFUSED | {"code": "data_inspection_failed"}}, status=400), ""),
    "refused by DeepSeek": (http({"error": REFUSED | {"message": "Content Exists Risk"}}, status=400), ""),
    "refused with status 200": (http({"error": REFUSED | {"type": "content_filter"}}), ""),
    "refused in a choice": (
        http({"choices": [{"error": {"code": 403, "metadata": {"flagged_input": "…"}}, "message": {"content": "Pl"}}]}),
        "",
    ),
    "refused by xAI": (
        http({"code": "no permission", "error": "Content violates usage guidelines."}, status=403),
        "",
    ),
    "refused by OpenAI's reasoners": (http({"error": REFUSED | {"code": "invalid_prompt"}}, status=400), ""),
    "refused by LiteLLM": (
        http({"error": {"message": "ContentPolicyViolationError", "type": None, "code": "400"}}, status=400),
        "",
    ),
    "refused behind OpenRouter": (
        http({"error": {"code": 400, "message": "-", "metadata": {"raw": json.dumps({"error": AZURE})}}}, status=400),
        "",
    ),
    "refused by Zhipu": (http({"error": {"code": "1301", "message": "-"}}, status=400), ""),
    "refused by Ark": (http({"error": REFUSED | {"code": "InputTextSensitiveContentDetected"}}, status=400), ""),
    "refused by MiniMax": (http({"base_resp": {"status_code": 1026, "status_msg": "-"}, "choices": None}), ""),
    "refused by Ark, with its kind": (
        http({"error": REFUSED | {"code": "SensitiveContentDetected.SevereViolation"}}, status=400),
        "",
    ),
    "refused by Ark as a risk": (http({"error": REFUSED | {"code": "InputTextRiskDetection"}}, status=400), ""),
    "refused by Gemini, beside no choices": (http({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}), ""),
    "refused by Azure, beside no choices": (
        http(
            {
                "choices": [],
                "prompt_filter_results": [
                    {
                        "prompt_index": 0,
                        "content_filter_results": {"hate": {"filtered": False}, "sexual": {"filtered": True}},
                    }
                ],
            }
        ),
        "",
    ),
    "cut off by Gemini's armor": (http(says("Plant them d", finish_reason="MODEL_ARMOR")), "Plant them d"),
    "refused with a warning": (
        http(
            {
                "error": REFUSED
                | {"code": "content_filter", "message": "Your account is suspended after three. 100 per day."}
            },
            status=400,
        ),
        "",
    ),
    "filtered with a colon": (http(says(None, finish_reason="content_filter: PROHIBITED_CONTENT")), ""),
}
FLAGS = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True, "severity": "high"}}
ANSWERS |= {
    "refused by Ark, severely": (
        http(
            {"error": REFUSED | {"code": "SensitiveContentDetected.SevereViolation", "type": "BadRequest"}}, status=400
        ),
        "",
    ),
    "refused by Ark's guard": (http({"error": REFUSED | {"code": "OutputTextRiskDetection"}}, status=400), ""),
    "filtered by Gemini, without choices": (http({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}), ""),
    "filtered by Azure, without choices": (
        http({"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FLAGS}]}),
        "",
    ),
    "filtered by Azure, with a choice": (http(says(None, finish_reason=None, content_filter_results=FLAGS)), ""),
    "refused for a policy, to an account that may be suspended": (
        http({"error": {"message": "This violates our usage policy. Your account may be suspended."}}, status=403),
        "",
    ),
}
FILTERED = (
    "content_filter",
    "content_filtered",
    "guardrail_intervened",
    "SAFETY",
    "FINISH_REASON_SAFETY",
    "IMAGE_SAFETY",
    "PROHIBITED_CONTENT",
    "BLOCKLIST",
    "blacklist",
    "MODEL_ARMOR",
    "model_armor",
    "JAILBREAK",
    "RECITATION",
    "LANGUAGE",
    "SPII",
    "sensitive",
    "refusal",
    "ERROR_TOXIC",
    "content_filter: PROHIBITED_CONTENT",
)
"""How answers end that a filter cut off."""
CUT_OFF = (
    "length",
    "MAX_TOKENS",
    "FINISH_REASON_MAX_TOKENS",
    "max_output_tokens",
    "max_new_tokens",
    "max_completion_tokens",
    "maximum_tokens",
    "model_length",
    "max_length",
    "token_limit",
    "TOKEN_LIMIT_REACHED",
    "ERROR_LIMIT",
    "max_output",
    "context",
    "context_length_exceeded",
    "model_context_window_exceeded",
    "REASON_MAX_LEN",
)
"""How answers end that were long enough."""
BROKEN_OFF = (
    "error",
    "ERROR",
    "abort",
    "aborted",
    "insufficient_system_resource",
    "network_error",
    "timeout",
    "TIME_LIMIT",
    "REASON_TIME_LIMIT",
    "cancelled",
    "CANCELED",
    "USER_CANCEL",
    "content_filter_error",
    "MALFORMED_RESPONSE",
    "failed",
)
"""How what is no answer ends."""
TOO_LONG: dict[str, Any] = {
    "OpenAI": REFUSED | {"code": "context_length_exceeded", "message": "Please shorten the messages."},
    "llama.cpp": {"code": 400, "type": "exceed_context_size_error", "message": "request exceeds the available size"},
    "vLLM": {"code": 400, "message": "This model's maximum context length is 80 tokens. However, you requested 90."},
    "SGLang": {"code": 400, "message": "The input (90 tokens) is longer than the model's context length (80 tokens)."},
    "Mistral": {"message": "Prompt contains 90 tokens, too large for model with 80 maximum context length"},
    "Anthropic": {"type": "invalid_request_error", "message": "prompt is too long: 90 tokens > 80 maximum"},
    "Gemini": {"message": "The input token count (90) exceeds the maximum number of tokens allowed (80)."},
    "TGI": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 80. Given: 83 and 7",
    "Cohere": {"message": "too many tokens: the prompt cannot exceed 80"},
    "DashScope": {"code": "invalid_parameter_error", "message": "Range of input length should be [1, 80]"},
    "xAI": "This model's maximum prompt length is 80 but the request contains 90 tokens.",
    "Moonshot": {"message": "Invalid request: Your request exceeded model token limit: 80"},
}
"""What is said of a prompt that is too long."""
SHUT_OUT: dict[str, tuple[bytes, str]] = {
    "status 401": (http({"error": {"message": "wrong key"}}, status=401), "no access (status 401): wrong key"),
    "status 402": (http({"error": {"message": "pay"}}, status=402), "no access (status 402): pay"),
    "status 403": (http({"error": {"message": "not for you"}}, status=403), "forbidden (status 403): not for you"),
    "a wall": (http("<html><body>Forbidden</body></html>", status=403), "forbidden (status 403): Forbidden"),
    "quota": (
        http({"error": {"message": "all spent", "code": "insufficient_quota"}}, status=429),
        "no access (status 429): all spent",
    ),
    "quota by type": (
        http({"error": {"message": "all spent", "type": "insufficient_quota", "code": None}}, status=429),
        "no access (status 429): all spent",
    ),
    "billing": (
        http({"error": {"message": "not paid", "code": "billing_not_active"}}, status=429),
        "no access (status 429): not paid",
    ),
    "arrears": (http({"code": "Arrearage", "message": "overdue"}, status=400), "no access (status 400): overdue"),
    "key unknown": (
        http([{"error": {"message": "bad key", "details": [{"reason": "API_KEY_INVALID"}]}}], status=400),
        'no access (status 400): [{"error": {"message": "bad key", "details": [{"reason": "API_KEY_INVALID"}]}}]',
    ),
    "money": (
        http({"error": {"type": "invalid_request_error", "message": "Your credit balance is too low."}}, status=400),
        "no access (status 400): Your credit balance is too low.",
    ),
    "spent for today": (
        http(
            {"error": {"message": "all spent", "details": [{"violations": [{"quotaId": "ReqsPerDay-Free"}]}]}},
            status=429,
        ),
        "no access (status 429): all spent",
    ),
    "an account closed for what it asked": (
        http({"error": {"message": "Against our usage policies.", "code": "account_deactivated"}}, status=403),
        "no access (status 403): Against our usage policies.",
    ),
    "an account closed, in words": (
        http({"error": {"message": "Your access was suspended for violating our usage policy."}}, status=403),
        "no access (status 403): Your access was suspended for violating our usage policy.",
    ),
    "money, without a code": (
        http({"error": "Insufficient Balance"}, status=429),
        "no access (status 429): Insufficient Balance",
    ),
    "money, as a detail": (
        http({"detail": "You have reached your spending limit."}, status=429),
        "no access (status 429): You have reached your spending limit.",
    ),
    "spent for today, in words": (
        http({"error": {"message": "Rate limit reached on requests per day (RPD).", "code": "rate_limit"}}, status=429),
        "no access (status 429): Rate limit reached on requests per day (RPD).",
    ),
    "spent at MiniMax": (
        http({"base_resp": {"status_code": 1008, "status_msg": "all spent"}}),
        "no access (status 200): all spent",
    ),
    "spent, as a text alone": (
        http({"error": "Insufficient Balance"}, status=429),
        "no access (status 429): Insufficient Balance",
    ),
    "spent, as a detail": (
        http({"detail": "You reached your monthly spending limit."}, status=400),
        "no access (status 400): You reached your monthly spending limit.",
    ),
    "an account that was shut": (
        http({"error": {"message": "closed for our usage policy", "code": "account_deactivated"}}, status=403),
        "no access (status 403): closed for our usage policy",
    ),
    "status 402 within": (http({"error": {"message": "pay", "code": 402}}), "no access (status 200): pay"),
}
"""Who replies so answers nothing more, whatever it is asked."""
PAGE = "<!DOCTYPE html><html><head><style>b {}</style></head><body><b>Sign&nbsp;in</b> to go on</body></html>"
ERRORS: dict[str, tuple[bytes, str]] = {
    **{
        f"too long for {name}": (
            http({"error": said}, status=400),
            f"longer than the model (status 400): {said if isinstance(said, str) else said['message']}",
        )
        for name, said in TOO_LONG.items()
    },
    "a page": (http(PAGE, content_type="text/html"), "no JSON (status 200): Sign in to go on"),
    "null message": (http(chat(None)), "choice without message (status 200)"),
    "null content": (http(says(None)), "message without text (status 200)"),
    "content of another type": (http(says({"text": "Yes."})), "message without text (status 200)"),
    "a number as content": (http(says(3)), "message without text (status 200)"),
    "no parts": (http(says([])), "message without text (status 200)"),
    "parts without text": (http(says([{"type": "image_url"}])), "message without text (status 200)"),
    "tool calls": (http(chat({"content": None, "tool_calls": [CALL]})), "tool calls instead of text (status 200)"),
    "thought, then a tool call": (
        http(chat({"content": None, "reasoning": "Hm.", "tool_calls": [CALL]})),
        "tool calls instead of text (status 200)",
    ),
    "thought of another type": (http(chat(THOUGHT | {"reasoning": 3})), "message without text (status 200)"),
    "no choices": (http({"choices": []}), "no choices (status 200)"),
    **{
        f"busy {number}": (
            http({"error": {"message": said, "code": "busy"}}, status=status),
            f"{'forbidden' if status == 403 else 'InternalServerError' if status == 503 else 'RateLimitError'} "
            f"(status {status}): {said}",
        )
        for number, (status, said) in enumerate(
            (
                (429, "You exceeded your current quota, please check your plan and billing details."),
                (429, "20 requests per minute. Daily limit: 1000, remaining 900. Try again in 3s."),
                (429, "10 requests per second and 5000 per day. Please slow down."),
                (429, "The token spending limit per minute is reached, try again in 2s."),
                (503, "Your project has been temporarily suspended due to overload."),
                (403, "This key feature is disabled for your region."),
            )
        )
    },
    "no choices, and nothing filtered": (
        http({"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": False}}}]}),
        "no choices (status 200)",
    ),
    "null choices": (http({"choices": None}), "no choices (status 200)"),
    "choices as an object": (http({"choices": {"0": GOOD}}), "no choices (status 200)"),
    "null choice": (http({"choices": [None]}), "choice without message (status 200)"),
    "message as a list": (http(chat(["Yes."])), "choice without message (status 200)"),
    "error with status 200": (http({"error": {"message": "out of\ncredit"}}), "error (status 200): out of credit"),
    "error as a text": (http({"error": "out of credit", "choices": []}), "error (status 200): out of credit"),
    "error as a list": (http({"error": [{"code": 7}]}), 'error (status 200): [{"code": 7}]'),
    "an object": (http({"response": "Plant them."}), "no choices (status 200)"),
    "null": (http("null"), "null (status 200)"),
    "a list": (http([GOOD]), "list (status 200)"),
    "a number": (http("42"), "number (status 200)"),
    "not a number": (http("NaN"), "number (status 200)"),
    "true": (http("true"), "true or false (status 200)"),
    "a text": (http('"Plant them."'), "text (status 200)"),
    "an answer without JSON": (http("Plant them."), "no JSON (status 200)"),
    "nothing": (http(""), "nothing (status 200)"),
    "nothing, status 204": (b"HTTP/1.1 204 Odd\r\nConnection: close\r\n\r\n", "nothing (status 204)"),
    "half of a file": (http(FILE[: len(FILE) // 2]), "no JSON (status 200)"),
    "two files": (http(FILE + FILE), "no JSON (status 200)"),
    "events": (
        http(b"data: " + FILE + b"\n\ndata: [DONE]\n\n", content_type="text/event-stream"),
        "no JSON (status 200)",
    ),
    "no UTF-8": (http(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), "no JSON (status 200)"),
    "bytes": (http(bytes(range(256))), "no JSON (status 200)"),
    "too deep": (http("[" * 100_000), "no JSON (status 200)"),
    "not compressed": (http(FILE, Content_Encoding="gzip"), "APIConnectionError (DecodingError)"),
    "half compressed": (http(gzip.compress(FILE)[:20], Content_Encoding="gzip"), "nothing (status 200)"),
    "cut": (http(GOOD)[:-20], "APIConnectionError (RemoteProtocolError)"),
    "cut in the head": (http(GOOD)[:30], "APIConnectionError (RemoteProtocolError)"),
    "no HTTP": (b"Plant them.\r\n\r\n", "APIConnectionError (RemoteProtocolError)"),
    "no reply": (b"", "APIConnectionError (RemoteProtocolError)"),
    "chunks that are none": (CHUNKED + b"ZZZ\r\nPlant\r\n", "APIConnectionError (RemoteProtocolError)"),
    "chunks without an end": (CHUNKED + b'5\r\n{"cho', "APIConnectionError (RemoteProtocolError)"),
    "redirected in a circle": (
        http("", status=307, Location="/v1/chat/completions"),
        "APIConnectionError (TooManyRedirects)",
    ),
    "redirected nowhere": (http("", status=307, Location="http://127.0.0.1:9/"), "APIConnectionError (ConnectError)"),
    "redirected to no address": (
        http("", status=307, Location="http://[::1"),
        "APIConnectionError (RemoteProtocolError)",
    ),
    "redirected to another scheme": (
        http("", status=302, Location="ftp://127.0.0.1/"),
        "APIConnectionError (UnsupportedProtocol)",
    ),
    "not modified": (http("", status=304), "APIStatusError (status 304)"),
    "status 400, called by no encoding": (
        http("no", 400, content_type="text/plain; charset=rot13"),
        "BadRequestError (status 400): no",
    ),
    "status 400, a page": (http(PAGE, status=400), "BadRequestError (status 400): Sign in to go on"),
    "status 400, null": (http("null", status=400), "BadRequestError (status 400): null"),
    "status 400, another form": (
        http({"detail": [{"loc": ["body"], "msg": "no \x1b[31m"}]}, status=422),
        'UnprocessableEntityError (status 422): {"detail": [{"loc": ["body"], "msg": "no [31m"}]}',
    ),
    "status 400, no UTF-8": (http(b"n\xffo", status=400), "BadRequestError (status 400): n\ufffdo"),
    "status of another": (
        http({"error": {"code": 502, "message": "down", "metadata": {"status": 403}}}),
        "error (status 200): down",
    ),
    "a filter that is down": (
        http({"error": {"code": "content_filter_error", "message": "down"}}, status=503),
        "InternalServerError (status 503): down",
    ),
    "a filter that is busy": (
        http({"error": {"code": "content_filter", "message": "slow"}}, status=429),
        "RateLimitError (status 429): slow",
    ),
    "aborted": (http(says("Plant th", finish_reason="abort")), "error (status 200)"),
    "status 404": (http({"message": "no such model"}, status=404), "NotFoundError (status 404): no such model"),
    "status 600": (http("", status=600), "InternalServerError (status 600)"),
    "retry after no time": (
        http({"error": "later"}, status=429, Retry_After="NaN"),
        "RateLimitError (status 429): later",
    ),
    "words with markup": (
        http({"error": "[/b] `a` | [red] %s"}, status=400),
        "BadRequestError (status 400): [/b] `a` | [red] %s",
    ),
    "long words": (http({"error": "so " * 900}, status=400), f"BadRequestError (status 400): {'so ' * 99}so…"),
}
ODD = {name: reply for name, (reply, _) in (ANSWERS | ERRORS | SHUT_OUT).items()}
