"""What chat engines share: a request as messages, and how sure a model is of its decision.

In: a request (`tables.REQUESTS`), whose `decision` is a pattern with the decision as its first group, and the tokens of its
answer with their log-probabilities. Out: messages; a probability, or None where the decision or its tokens are not there.
"""

import re
from collections.abc import Sequence
from itertools import accumulate
from math import exp


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


def too_long(prompt: int, answer: int, positions: int | None) -> str | None:
    """What is wrong with a request of so many tokens that may have so many as an answer, if a model has fewer `positions`."""
    if positions is None or prompt + answer <= positions:
        return None
    return f"longer than the model: {prompt} tokens and up to {answer} of an answer are more than its {positions}"


def messages(request: dict[str, object]) -> list[dict[str, object]]:
    """The request as a chat: a system message if it has one, the user's, and the answer under judgement if there is one."""
    turns = [(role, request[role]) for role in ("system", "user", "assistant")]
    return [{"role": role, "content": content} for role, content in turns if content]
