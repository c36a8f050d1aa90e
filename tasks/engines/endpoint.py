"""Answer requests through an OpenAI-compatible endpoint.

In: batches of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order.
Grain: one row per request. The client waits and tries again on 408, 409, 429 and 5xx and on lost connections; what
still fails, and what the endpoint refuses, becomes an error row.
"""

import asyncio
import json
import os
import time
from typing import Any

import pyarrow as pa
from aiolimiter import AsyncLimiter
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletion

from tasks.engines.chat import confidence, messages
from tasks.engines.openai import OpenAI
from tasks.tables import COMPLETIONS


class EndpointEngine:
    """A Ray Data actor that sends the requests of several batches at once, at most so many a minute."""

    def __init__(self, endpoint: OpenAI) -> None:
        self.endpoint = endpoint
        self.limiter = AsyncLimiter(1, 60 / endpoint.requests_per_minute)
        self.client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=os.environ[endpoint.key_variable],
            timeout=endpoint.timeout_seconds,
            max_retries=endpoint.retries,
        )

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch."""
        completions = await asyncio.gather(*(self.answer(request) for request in batch.to_pylist()))
        return pa.Table.from_pylist(list(completions), schema=COMPLETIONS.schema)

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One row of `tables.COMPLETIONS`; the endpoint's words go into an error row without what they quote."""
        async with self.limiter:
            started = time.perf_counter()
            try:
                said = await self.client.chat.completions.create(**chat(self.endpoint, request))
                answered = completion(said, request["decision"])
            except (OpenAIError, ValueError) as error:
                answered = {"error": describe(error)}
        return answered | {"request_id": request["request_id"], "seconds": time.perf_counter() - started}


def chat(endpoint: OpenAI, request: dict[str, Any]) -> dict[str, Any]:
    """The request in the endpoint's own words."""
    asked = {name: request[name] for name in ("temperature", "top_p", "max_tokens", "seed")}
    if request["json_schema"]:
        schema = {"name": "answer", "schema": json.loads(request["json_schema"]), "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request["decision"] and endpoint.logprobs:
        asked["logprobs"] = True
    return {"model": endpoint.model, "messages": messages(request), **asked}


def completion(said: ChatCompletion, decision: str | None) -> dict[str, Any]:
    """What the endpoint answered; an answer without text is an error, not a crash."""
    if not said.choices or said.choices[0].message.content is None:
        return {"error": "answer without text"}
    used = said.usage
    spoken = said.choices[0].logprobs
    tokens = [(token.token, token.logprob) for token in (spoken.content or [])] if spoken else []
    return {
        "completion": said.choices[0].message.content,
        "finish_reason": said.choices[0].finish_reason,
        "input_tokens": used.prompt_tokens if used else None,
        "output_tokens": used.completion_tokens if used else None,
        "confidence": confidence(decision, tokens),
    }


def describe(error: OpenAIError | ValueError) -> str:
    """The kind of fault and its status; an endpoint may quote the prompt in its message, so that stays out."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f" (status {status})" if status else "")
