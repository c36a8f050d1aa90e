"""A local Hugging Face checkpoint that answers requests, as the configuration names it."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from infra import storage
from tasks.engines import EngineSection, Example
from tasks.engines.checkpoints import checkpoint_identity
from tasks.engines.rendering import dated
from tasks.section import Words


class Transformers(EngineSection):
    """A local checkpoint, answered by `transformers`."""

    IDENTITY: ClassVar = ("model", "dtype")
    PLACE: ClassVar = ("block_rows",)

    kind: Literal["transformers"]
    model: Words
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"

    def identity(self) -> str:
        """The checkpoint, the dtype, and the day that its chat template is told, if it asks."""
        return f"{self.weights()} {self.dtype}{dated(Path(storage.resolve(self.model)))}"

    def weights(self) -> str:
        """The SHA-256 of what is loaded of the folder."""
        return checkpoint_identity(self.model)

    def check_requests(self, examples: Sequence[Example], runs_here: bool) -> None:
        """Have its chat template write them, and load the model but for its weights: the folder is here, wherever it runs."""
        from tasks.engines.causal import check_model  # noqa: PLC0415 (transformers takes seconds)
        from tasks.engines.templates import check_template, load_form  # noqa: PLC0415

        folder = storage.resolve(self.model)
        check_template(self.model, load_form(folder), examples)
        check_model(self.model, folder)
