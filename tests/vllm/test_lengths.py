"""How long vLLM lets a model be, beside what is looked at before a run costs anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from vllm import EngineArgs

from tasks.engines.checkpoints import longest

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 512,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 64,
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_positions": 256,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": LLAMA,
    "default": LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "linear": LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "dynamic": LLAMA | {"rope_scaling": {"rope_type": "dynamic", "factor": 3.0}},
    "yarn": LLAMA | {"rope_scaling": YARN},
    "yarn of a longer one": LLAMA | {"max_position_embeddings": 2048, "rope_scaling": YARN},
    "llama3": LLAMA | {"rope_scaling": LLAMA_3},
    "several lengths": LLAMA | {"seq_length": 128},
    "a length of its own": LLAMA | {"model_max_length": 1024},
    "both, as by hand": LLAMA
    | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "rope_scaling": YARN},
    "a factor alone": LLAMA | {"rope_scaling": {"factor": 4.0}},
    "a length of its own, and linear": LLAMA
    | {"model_max_length": 1024, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "a length that is no integer": LLAMA | {"model_max_length": 1024.0},
    "yarn of a shorter one": LLAMA | {"max_position_embeddings": 8192, "rope_scaling": YARN},
    "no length": {name: value for name, value in LLAMA.items() if name != "max_position_embeddings"},
    "gpt2": GPT2,
    "gpt2 without a length": {name: value for name, value in GPT2.items() if name != "n_positions"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_may_be_as_long_as_vllm_lets_it_and_no_longer(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    room = int(longest(str(tmp_path)) or 0)

    def made(positions: int) -> int:
        arguments = EngineArgs(
            model=str(tmp_path), max_model_len=positions, skip_tokenizer_init=True, load_format="dummy"
        )
        return int(arguments.create_model_config().max_model_len)

    assert made(room) == room
    with pytest.raises(ValueError, match="max_model_len"):
        made(room + 1)
