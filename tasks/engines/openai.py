"""A model behind an endpoint that answers requests, as the configuration names it; `endpoint` has it answer."""

import os
from typing import ClassVar, Literal

from pydantic import Field

from tasks.engines import Answer, EngineSection
from tasks.errors import ModelError


class OpenAI(EngineSection):
    """A model behind an OpenAI-compatible endpoint; the key comes from the environment variable `key_variable`.

    `revision` is what tells two states of a model apart that share a name. Without `logprobs`, which some endpoints
    refuse, its verdicts come without a confidence.
    """

    IDENTITY: ClassVar = ("base_url", "model", "revision", "logprobs")
    PLACE: ClassVar = (
        "key_variable",
        "requests_per_minute",
        "timeout_seconds",
        "retries",
        "block_rows",
        "concurrent_blocks",
    )

    kind: Literal["openai"]
    base_url: str = Field(pattern=r"^https?://")
    model: str
    revision: str = "unversioned"
    key_variable: str = "OPENAI_API_KEY"
    requests_per_minute: int = Field(600, ge=1)
    timeout_seconds: float = Field(120, gt=0)
    retries: int = Field(5, ge=0)
    logprobs: bool = True
    block_rows: int = Field(16, ge=1)
    concurrent_blocks: int = Field(4, ge=2)

    def identity(self) -> str:
        """The model, where it is asked, and whether it tells log-probabilities."""
        return f"{self.weights()} {self.base_url.rstrip('/')}{'' if self.logprobs else ' without logprobs'}"

    def weights(self) -> str:
        """The model and its revision, taken to be the same behind every endpoint."""
        return f"{self.model}@{self.revision}"

    def check(self, runs_here: bool) -> None:
        """Where it runs here, find the endpoint's key."""
        if runs_here and not os.environ.get(self.key_variable):
            raise ModelError(
                f"model {self.model}: no key for {self.base_url}; put it into the environment variable "
                f"{self.key_variable}, or name another one as `key_variable`"
            )

    def answering(self, store: str) -> Answer:
        """One actor that sends the requests of several blocks at once."""
        from tasks.engines.actors import actor  # noqa: PLC0415 (Ray and the client take seconds)
        from tasks.engines.endpoint import EndpointEngine  # noqa: PLC0415

        return actor(store, EndpointEngine, concurrent=self.concurrent_blocks, endpoint=self)
