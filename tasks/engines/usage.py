"""How many tokens a block took: those that its engine told, and apart from them an estimate of those that it did not.

In: requests and what became of them, which is no more than the store keeps: null is a number that nobody told. Out: sums by
the names of `tables.TOKENS`. Grain: one block. The estimate is meant to be too high, so that a budget stops too early and not
too late: a tokenizer that falls back to bytes, as GPT-2's and all of its kind (Radford et al. 2019, section 2.2), makes no more
tokens of a text than it has bytes; of English it makes one of about 4 characters (OpenAI's "What are tokens"), of other words in
ASCII letters one of 2 or more, and of digits, blanks and signs up to one of each.
"""

import re
from collections.abc import Mapping
from math import ceil
from string import ascii_letters
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.engines.chat import TOO_LONG, messages
from tasks.engines.openai.replies import FILTERS, spelled
from tasks.tables import TOKENS

LETTERS = ascii_letters.encode()
UNANSWERED = (
    rf"^({TOO_LONG}: |refused by the chat template|no prompt from the chat template|APIConnectionError \(ConnectError\))"
    r"|\(status 4(0[0-79]|[1-9][0-9])\)"
)
"""How errors are told of requests for which nothing was generated: never sent, not let in, or refused before."""
AROUND = 8
"""Tokens that a template puts around a message."""


def estimate(text: str) -> int:
    """Tokens of a text: one of two letters of ASCII, one of each other byte of UTF-8, such as a digit, a blank or a sign."""
    encoded = text.encode()
    others = len(encoded.translate(None, LETTERS))
    return others + ceil((len(encoded) - others) / 2)


def estimate_prompt(request: Mapping[str, object]) -> int:
    """Tokens of all that a request shows to a model."""
    return sum(estimate(str(message["content"])) + AROUND for message in messages(request))


def estimate_answer(request: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """Tokens of an answer; as many as it could have had where nobody saw it: it failed, or all may have gone into thoughts."""
    is_filtered = re.search(FILTERS, spelled(row["finish_reason"] or ""))
    unseen = row["completion"] is None or not (row["completion"] or is_filtered)
    return int(request["max_tokens"] or 0) if unseen else estimate(row["completion"])


def tokens(block: pa.Table, asked: pa.Table) -> dict[str, int]:
    """What the `asked` requests took that the completions in `block` belong to: all that was told, and of the rest an estimate.

    A request for which nothing was generated took nothing, but for what is told of it.
    """
    if "input_tokens" not in block.column_names:
        return dict.fromkeys(TOKENS, 0)
    unanswered = pc.fill_null(pc.match_substring_regex(block["error"], UNANSWERED), False)
    told = block.filter(pc.or_(pc.invert(unanswered), pc.is_valid(block["output_tokens"])))
    lacking = pc.or_(pc.is_null(block["input_tokens"]), pc.is_null(block["output_tokens"]))
    untold = block.filter(pc.and_(lacking, pc.invert(unanswered))).to_pylist()
    requests = {request["request_id"]: request for request in asked.to_pylist()} if untold else {}
    prompts = [requests[row["request_id"]] for row in untold if row["input_tokens"] is None]
    answers = [(requests[row["request_id"]], row) for row in untold if row["output_tokens"] is None]
    return {
        "input_tokens": pc.sum(told["input_tokens"]).as_py() or 0,
        "output_tokens": pc.sum(told["output_tokens"]).as_py() or 0,
        "estimated_input_tokens": sum(map(estimate_prompt, prompts)),
        "estimated_output_tokens": sum(estimate_answer(*answer) for answer in answers),
    }
