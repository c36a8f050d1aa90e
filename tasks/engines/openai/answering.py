"""Answer requests through an OpenAI-compatible endpoint.

In: batches of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order.
Grain: one row per request. The client waits and tries again on 408, 409, 429 and 5xx and on lost connections; what
still fails, what the endpoint refuses, and a reply without an answer, whatever it is, becomes an error row. What a filter
refused for what it says is answered: with nothing.
"""

import asyncio
import json
import time
from base64 import b64encode
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from aiolimiter import AsyncLimiter
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

from tasks.engines import Answer
from tasks.engines.actors import actor
from tasks.engines.blocks import completions
from tasks.engines.chat import messages
from tasks.engines.openai import OpenAI
from tasks.engines.openai.replies import may_ask_no_more, read_fault, read_reply


def answering(endpoint: OpenAI, store: str) -> Answer:
    """One actor that sends the requests of several blocks at once."""
    return actor(store, EndpointEngine, concurrent=endpoint.concurrent_blocks, endpoint=endpoint)


class EndpointEngine:
    """A Ray Data actor that sends the requests of several batches at once, at most so many a minute."""

    def __init__(self, endpoint: OpenAI) -> None:
        self.endpoint = endpoint
        key, parts = endpoint.key(), urlsplit(endpoint.base_url)
        login = unquote(parts.username or ""), unquote(parts.password or "")
        self.hidden = [key, *([*login, b64encode(":".join(login).encode()).decode()] if any(login) else [])]
        self.limiter = AsyncLimiter(1, 60 / endpoint.requests_per_minute)
        self.client = AsyncOpenAI(
            base_url=endpoint.address,
            api_key=key,
            timeout=endpoint.timeout_seconds,
            max_retries=endpoint.retries,
            http_client=DefaultAsyncHttpxClient(
                auth=login if any(login) else None, event_hooks={"response": [self.read]}
            ),
        )

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch."""
        return completions(await asyncio.gather(*(self.answer(request) for request in batch.to_pylist())))

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One row of `tables.COMPLETIONS`."""
        async with self.limiter:
            started = time.perf_counter()
            answered = await self.ask(request)
        return answered | {"request_id": request["request_id"], "seconds": time.perf_counter() - started}

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the endpoint answers; a fault of any kind is this request's alone."""
        hidden = [*self.hidden, *(str(turn["content"]) for turn in messages(request))]
        asked = chat(self.endpoint, request)
        try:
            reply = await self.client.chat.completions.with_raw_response.create(**asked)
            status, body = reply.status_code, reply.content
        except APIStatusError as error:
            return read_fault(type(error).__name__, error.status_code, error.response.content, hidden)
        except Exception as error:  # noqa: BLE001 (nobody knows all that a reply can break in a client)
            cause = f" ({type(error.__cause__).__name__})" if isinstance(error, APIConnectionError) else ""
            return {"error": f"{type(error).__name__}{cause}"}
        return read_reply(status, body, request["decision"], hidden)

    async def read(self, response: Any) -> None:  # noqa: ANN401 (of the client's HTTP library, which is its own affair)
        """Read a reply in time: the client's own limit is for each piece of it, of which some replies have no last one.

        JSON is UTF-8, whatever a reply calls itself; some names make the client fail. A quota that is spent is told as if the
        endpoint were busy, but to ask again costs minutes for nothing.
        """
        response.encoding = "utf-8"
        async with asyncio.timeout(self.endpoint.timeout_seconds):
            await response.aread()
        if response.is_error and may_ask_no_more(response.status_code, response.content):
            response.headers["x-should-retry"] = "false"


def chat(endpoint: OpenAI, request: dict[str, Any]) -> dict[str, Any]:
    """The request in the endpoint's own words."""
    asked = {name: request[ours] for ours, name in endpoint.names().items()}
    if request["json_schema"]:
        schema = {"name": "answer", "schema": json.loads(request["json_schema"]), "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request["decision"] and endpoint.logprobs:
        asked["logprobs"] = True
    return {"model": endpoint.model, "messages": messages(request), "extra_body": asked}
