"""A tiny random model of each family of causal language models that transformers has and a user would name.

In: the name of a kind of configuration (`model_type`). Out: a model of two layers or one of each kind of layer that its family
has, whose window is shorter than the prompts that tests ask, and whose every weight, bias and norm is random.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

WINDOW = 8
TOKENS = 97
SIZES: dict[str, Any] = {
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "attention_hidden_size", "lru_width"), 32
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "num_attn_heads"), 4),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "intermediate_size_mlp"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(
        ("sliding_window", "window_size", "attention_window", "attention_window_size", "attention_chunk_size"), WINDOW
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 128),
    **dict.fromkeys(("head_dim", "v_head_dim", "linear_key_head_dim", "linear_value_head_dim", "index_head_dim"), 8),
    **dict.fromkeys(
        ("kv_lora_rank", "q_lora_rank", "state_size", "mamba_d_state", "ssm_state_size", "global_head_dim"), 8
    ),
    **dict.fromkeys(
        ("mamba_n_heads", "mamba_d_head", "mamba_num_heads", "mamba_head_dim", "chunk_size", "mamba_chunk_size"), 8
    ),
    **dict.fromkeys(
        ("n_group", "topk_group", "mamba_n_groups", "n_groups", "max_window_layers", "first_k_dense_replace"), 1
    ),
    **dict.fromkeys(
        ("num_key_value_heads", "linear_num_key_heads", "num_global_key_value_heads", "n_shared_experts"), 2
    ),
    "linear_num_value_heads": 4,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "rotary_dim": 4,
    "partial_rotary_factor": 0.5,
    "vocab_size": TOKENS,
    "vocab_size_per_layer_input": TOKENS,
    "hidden_size_per_layer_input": 8,
    "use_sliding_window": True,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
"""What is small, by the names that configurations have for it."""
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 50} | {
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 3.0, 2.0, 9.0],
    "partial_rotary_factor": 1.0,
}
MLA = {"num_key_value_heads": 4}
SHARING = {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2}
USUAL = """llama mistral qwen2 qwen2_moe qwen3 qwen3_moe gemma gemma2 gemma3_text gemma4_text phi phi3 phimoe mixtral gpt2 gptj
gpt_neox gpt_bigcode gpt_oss bloom mpt falcon opt stablelm starcoder2 smollm3 cohere cohere2 granite granitemoe olmo olmo2 olmo3
olmoe ministral exaone4 glm glm4 glm4_moe nemotron seed_oss ernie4_5 hunyuan_v1_dense apertus arcee minimax_m2
codegen persimmon xglm gpt_neox gpt_neox_japanese"""
FAMILIES: dict[str, dict[str, Any]] = {kind: {} for kind in USUAL.split()} | {
    "deepseek_v2": MLA,
    "deepseek_v3": MLA | {"head_dim": 4},
    "deepseek_v4": {},
    "glm4_moe_lite": MLA,
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba": {},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "falcon_mamba": {},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False, "mamba_dt_rank": 4},
    "bamba": {"attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 64},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "nemotron_h": {"layers_block_type": ["mamba", "attention"]},
    "qwen3_next": {},
    "qwen3_5_text": {},
    "minimax": {},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "rwkv": {},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"], "attention_hidden_size": 64, "attention_head_dim": 16},
    "phi3 beyond its first length": {"kind": "phi3", "original_max_position_embeddings": 50, "rope_parameters": LONG},
    "llama4_text": {"no_rope_layers": [1, 0], "floor_scale": 50, "attn_scale": 9.0},
    "falcon with alibi": {"kind": "falcon", "alibi": True},
    "gemma3n_text": SHARING,
    "gemma4 whose layers share keys": {"kind": "gemma4_text"} | SHARING,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
}
"""What else each family needs to be made small."""


def tiny(kind: str) -> Any:
    """The tiny model of a family."""
    own = dict(FAMILIES[kind])
    kind = own.pop("kind", kind)
    usual = AutoConfig.for_model(kind)
    sizes = {name: size for name, size in SIZES.items() if name in usual.to_dict()}
    if layers := usual.to_dict().get("layer_types"):
        kinds = list(dict.fromkeys(layers))
        sizes["layer_types"] = own.get("layer_types", kinds * (1 if len(kinds) > 1 else 2))
        sizes |= {name: len(sizes["layer_types"]) for name in ("num_hidden_layers", "n_layer") if name in sizes}
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes | own)).eval().float()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    model.generation_config = GenerationConfig()
    return model
