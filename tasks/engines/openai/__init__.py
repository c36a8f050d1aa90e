"""A model behind an endpoint that answers requests, as the configuration names it."""

import os
import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from infra import storage
from tasks.engines import MOST_ROWS, EngineSection
from tasks.errors import ModelError
from tasks.section import Variable, WithUser, Words

Parameter = Literal["temperature", "top_p", "max_tokens", "seed"]
PARAMETERS: tuple[Parameter, ...] = ("temperature", "top_p", "max_tokens", "seed")
TAKEN = {"model", "messages", "response_format", "logprobs", "stream", "n"}
"""Names in a request to an endpoint that are spoken for."""


class OpenAI(EngineSection):
    """A model behind an OpenAI-compatible endpoint; the key comes from the environment variable `key_variable`.

    `revision` is what tells two states of a model apart that share a name. Without `logprobs`, which some endpoints
    refuse, its verdicts come without a confidence. `parameters` are those that the endpoint calls by another name than
    SafePairs does, with that name, and with an empty one those that it refuses, which then are not sent.
    """

    IDENTITY: ClassVar = ("base_url", "model", "revision", "logprobs", "parameters")
    PLACE: ClassVar = (
        "key_variable",
        "requests_per_minute",
        "timeout_seconds",
        "retries",
        "block_rows",
        "concurrent_blocks",
    )

    kind: Literal["openai"]
    base_url: WithUser
    model: Words
    revision: Words = "unversioned"
    key_variable: Variable = "OPENAI_API_KEY"
    requests_per_minute: int = Field(600, ge=1, le=1_000_000)
    timeout_seconds: float = Field(120, gt=0, le=86_400)
    retries: int = Field(5, ge=0, le=100)
    logprobs: bool = True
    parameters: dict[Parameter, Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{0,64}$")]] = Field({})
    block_rows: int = Field(16, ge=1, le=MOST_ROWS)
    concurrent_blocks: int = Field(4, ge=2, le=1_000)

    @model_validator(mode="after")
    def names_one_thing_once(self) -> Self:
        """Two parameters cannot go by one name, and none by that of another part of a request."""
        names = list(self.names().values())
        if wrong := sorted(name for name in set(names) if names.count(name) > 1 or name in TAKEN):
            raise ValueError(f"parameters: `{wrong[0]}` is the name of something else too; mend it")
        return self

    def names(self) -> dict[Parameter, str]:
        """What the endpoint calls each parameter that it is sent, in our order."""
        names = {ours: self.parameters.get(ours, ours) for ours in PARAMETERS}
        return {ours: name for ours, name in names.items() if name}

    @property
    def address(self) -> str:
        """Where it is asked, as it may be written: without a user and a password."""
        return storage.shown(self.base_url)

    def identity(self) -> str:
        """The model, where it is asked, whether it tells log-probabilities, and which parameters it is sent."""
        names = self.names()
        renamed = "".join(f" {ours} as {name}" for ours, name in names.items() if ours != name)
        unsent = "".join(f" without {ours}" for ours in PARAMETERS if ours not in names)
        logprobs = "" if self.logprobs else " without logprobs"
        return f"{self.weights()} {self.address.rstrip('/')}{logprobs}{renamed}{unsent}"

    def weights(self) -> str:
        """The model and its revision, taken to be the same behind every endpoint."""
        return f"{self.model}@{self.revision}"

    def check(self, runs_here: bool) -> None:
        """Where it runs here, find the endpoint's key; elsewhere nothing secret can be in its address, which is handed over."""
        if runs_here:
            self.key()
        elif self.address != self.base_url:
            raise ModelError(
                f"model {self.model}: a user or a password is in its address {self.address}, which would be written for the "
                f"cluster; take it out, and put a key into the environment variable {self.key_variable} there"
            )

    def key(self) -> str:
        """The endpoint's key, without blanks and line ends around it.

        Raises:
            ModelError: there is none, or it cannot be one.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise ModelError(
                f"model {self.model}: no key for {self.address}; put it into the environment variable "
                f"{self.key_variable}, or name another one as `key_variable`"
            )
        if not re.fullmatch("[!-~]+", key):
            raise ModelError(
                f"model {self.model}: the environment variable {self.key_variable} holds no key: blanks, line ends and "
                f"characters beyond ASCII are in no key; put the key for {self.address} there anew"
            )
        return key
