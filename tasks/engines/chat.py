"""What chat engines share: a request as messages, and how sure a model is of its decision.

In: a request (`tables.REQUESTS`), whose `decision` is a pattern with the decision as its first group, and the tokens of its
answer with their log-probabilities. Out: messages; a probability, or None where the decision or its tokens are not there.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import exp
from typing import TypeAlias

Message: TypeAlias = dict[str, object]
TEXTS = ("FirstTextOfFour", "SecondTextOfFour", "ThirdTextOfFour", "FourthTextOfFour")
"""What no template writes by itself: where one stands in a prompt, there a text of a chat would."""


def confidence(decision: str | None, tokens: Sequence[tuple[str, float]]) -> float | None:
    """The product of the probabilities of all tokens that share a character with the decision."""
    found = list(re.finditer(decision, "".join(text for text, _ in tokens))) if decision else []
    if not found:
        return None
    # The last one: thinking, or words before the verdict, may name it too.
    start, end = found[-1].span(1)
    ends = list(accumulate(len(text) for text, _ in tokens))
    spelled = [
        logprob for (text, logprob), stop in zip(tokens, ends, strict=True) if stop > start and stop - len(text) < end
    ]
    return min(exp(sum(spelled)), 1.0)


TOO_LONG = "longer than the model"
"""How the error of a request begins that a model has no room for; the macros `is_too_long` and `is_settled` know it too.

Up to its first `: ` it is only this where the request was counted and never sent; an endpoint's refusal has a status there.
"""


def too_long(prompt: int, answer: int, positions: int | None) -> str | None:
    """What is wrong with a request of so many tokens that may have so many as an answer, if a model has fewer `positions`."""
    if positions is None or prompt + answer <= positions:
        return None
    return f"{TOO_LONG}: {prompt} tokens and up to {answer} of an answer are more than its {positions}"


def messages(request: Mapping[str, object]) -> list[Message]:
    """The request as a chat: a system message if it has one, the user's, and the answer under judgement if there is one.

    An empty system message is one: without it, a model's own would speak.
    """
    turns = [(role, request[role]) for role in ("system", "user", "assistant")]
    return [{"role": role, "content": content} for role, content in turns if content is not None]


def example(system: str | None, shows_answer: bool) -> dict[str, str | None]:
    """What stands for all requests with such a system text, with or without an answer: a template treats them alike."""
    told = TEXTS[0] if system and system.strip() else system
    return {"system": told, "user": TEXTS[1], "assistant": TEXTS[2] if shows_answer else None}
