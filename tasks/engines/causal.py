"""Load the causal language model of a folder, and tell how it may be asked.

In: the folder of a checkpoint. Out: the model, or one line that says why it is none; what ends its answers; which rows get the
same answers together as alone. Of what the folder says about generating only the end counts.
"""

import inspect
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationConfig,
)
from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging as library_logging

from tasks.errors import ModelError

logger = logging.getLogger(__name__)

MOST_SAID = 200
"""Characters that an error quotes of what the library said."""


def load_config(model: str, folder: str) -> Any:  # noqa: ANN401 (transformers is untyped here)
    """What the folder says about the model; raises ModelError where that is none which goes on with a text."""
    with one_line(model):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # BERT and its kinds; others may have the field too, and never read it.
        may_attend_ahead = hasattr(type(config), "is_decoder") and hasattr(type(config), "add_cross_attention")
        is_causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not config.is_encoder_decoder
        if not is_causal or (may_attend_ahead and not config.is_decoder):
            raise ValueError(f"a model of kind {config.model_type} does not go on with a text")
        return config


def load_model(model: str, folder: str, **options: object) -> Any:  # noqa: ANN401
    """The model in `folder`, which the configuration calls `model`; raises ModelError where there is none or a part of one."""
    config = load_config(model, folder)
    with one_line(model):
        loaded, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            generation_config=GenerationConfig(),
            output_loading_info=True,
            **options,
        )
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"model {model}: cannot be loaded as a causal language model: its weights lack {missing[0]} "
            f"({len(missing)} in all); use a folder that has them"
        )
    return loaded.eval()


@contextmanager
def one_line(model: str) -> Iterator[None]:
    """Have the library raise a ModelError, and warn of nothing: what is missing is told by others."""
    library_logging.disable_progress_bar()
    verbosity = library_logging.get_verbosity()
    library_logging.set_verbosity_error()
    try:
        yield
    except Exception as error:  # noqa: BLE001 (nobody knows all that is wrong in a folder)
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_SAID]
        raise ModelError(
            f"model {model}: cannot be loaded as a causal language model: {cause}; mend that or use another folder"
        ) from None
    finally:
        library_logging.set_verbosity(verbosity)


@cache
def check_model(model: str, folder: str) -> None:
    """Raise ModelError where the model could not be loaded to answer, without the numbers of its weights."""
    end_tokens(model, folder)
    load_config(model, folder)
    # What is quantized may be made larger while it is loaded, which needs the numbers: that is told first in its job.
    if not file_says(model, folder, "config.json").get("quantization_config"):
        loaded = load_model(model, folder, device_map="meta")
        if not most_together(loaded):
            logger.warning(
                "model %s: answered row by row, which is slow: of kind %s, rows get other answers together",
                model,
                loaded.config.model_type,
            )


def check_generation_config(model: str, folder: str) -> None:
    """Raise ModelError where vLLM, which reads all of generation_config.json to find the end, would not start."""
    end_tokens(model, folder)
    with suppress(OSError):  # there is none
        try:
            GenerationConfig.from_pretrained(folder)
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(
                f"model {model}: generation_config.json: {str(error)[:MOST_SAID]}; mend it or delete it"
            ) from None


def end_tokens(model: str, folder: str) -> set[int]:
    """The tokens that end an answer, as generation_config.json or else config.json says; raises ModelError.

    Nothing else that stands there about generating is heeded: answers would depend on what no configuration says.
    """
    ends: object = None
    for name in ("generation_config.json", "config.json"):
        told = file_says(model, folder, name)
        inner = told.get("text_config")  # of a model that reads more than text
        ends = told.get("eos_token_id")
        if ends is None and isinstance(inner, dict):
            ends = inner.get("eos_token_id")
        if ends is not None:
            break
    tokens: list[Any] = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(token) is int for token in tokens):
        raise ModelError(
            f"model {model}: `eos_token_id` in {name} holds something else than numbers of tokens; mend it"
        )
    return set(tokens)


def file_says(model: str, folder: str, name: str) -> dict[str, Any]:
    """What stands in a JSON file of the folder; nothing if there is none; raises ModelError."""
    file = Path(folder) / name
    try:
        told = json.loads(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ModelError(f"model {model}: {name} is no JSON object; mend it or delete it")
    return told


def most_together(model: Any) -> float:  # noqa: ANN401
    """The most tokens, answer included, of rows that can be answered together and get the answers that they would get alone.

    Any number where every layer attends to keys that a mask can hide, all or those in a window, and each row counts its own
    positions. 0 where a state (Mamba, convolutions, linear attention) or a compressed past may see what pads other rows.
    """
    takes = inspect.signature(model.forward).parameters
    counts_positions = "position_ids" in takes or sum(isinstance(part, nn.Embedding) for part in model.modules()) == 1
    has_usual_cache = "attention_mask" in takes and model._supports_default_dynamic_cache()
    if not (counts_positions and has_usual_cache):
        return 0
    layers = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if layers - {DynamicLayer, DynamicSlidingWindowLayer, DummyLayer}:  # the last reuses the keys of another
        return 0
    text = model.config.get_text_config()
    told = getattr(text, "rope_parameters", None) or {}
    ropes = [told] if "rope_type" in told else [rope for rope in told.values() if isinstance(rope, dict)]
    # A row that is longer has these models rotate all rows of its batch otherwise.
    most = [rope["original_max_position_embeddings"] for rope in ropes if rope["rope_type"] == "longrope"]
    if getattr(text, "attn_temperature_tuning", False):  # Llama 4 scales by where a token stands behind its padding
        most.append(text.floor_scale - 1)
    return min(most, default=inf)
