"""Answer requests with a local Hugging Face causal language model.

In: a batch of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order.
Grain: one row per request.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import xgrammar
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Cache,
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    TopPLogitsWarper,
)
from xgrammar.contrib.hf import LogitsProcessor as GrammarProcessor

from tasks.tables import COMPLETIONS

SHORTEST_CACHED_PREFIX = 32
"""Tokens. Below this a shared prefix costs less to compute again than to copy. Measured with SmolLM2-135M on 2 cores."""


class SeededSampling(LogitsProcessor):
    """Turn greedy decoding into sampling in which every row has its own seed.

    Adds Gumbel noise to the tempered logits, so that their argmax is a draw from the softmax (the Gumbel-max trick,
    Maddison et al. 2014, arXiv 1411.0030). A row's draw does not depend on the rows that share its batch.
    """

    def __init__(self, temperatures: Sequence[float], seeds: Sequence[int], top_p: float) -> None:
        self.temperatures = torch.tensor(temperatures).unsqueeze(1)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.nucleus = TopPLogitsWarper(top_p) if top_p < 1 else None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores are (rows, vocabulary); returns the same shape."""
        greedy = self.temperatures.to(scores.device) == 0
        tempered: Any = scores.float() / self.temperatures.to(scores.device).where(~greedy, torch.tensor(1.0))
        if self.nucleus:
            tempered = self.nucleus(input_ids, tempered)
        exponential = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.generators])
        noise = exponential.to(scores.device).log()
        return torch.where(greedy, scores.float(), tempered - noise)  # type: ignore[return-value]


class TransformersEngine:
    """A Ray Data actor that loads its model once and answers batches.

    Args:
        model: folder of a checkpoint that `transformers` loads.
        dtype: name of a torch dtype, for instance `bfloat16`.
        threads: CPU threads for one actor.
    """

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
        vocabulary = self.model.config.vocab_size
        tokenizer_info = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=vocabulary)
        self.grammars = xgrammar.GrammarCompiler(tokenizer_info)
        self.end_tokens = {self.tokenizer.eos_token_id, self.model.generation_config.eos_token_id}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch; rows that share a schema and a nucleus are generated together."""
        requests = batch.to_pylist()
        completions: list[dict[str, Any]] = [{}] * len(requests)
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request["json_schema"], request["top_p"]), []).append(index)
        for (json_schema, top_p), indexes in groups.items():
            answered = self.answer([requests[i] for i in indexes], json_schema, top_p)
            for index, completion in zip(indexes, answered, strict=True):
                completions[index] = completion
        return pa.Table.from_pylist(completions, schema=COMPLETIONS.schema)

    @torch.inference_mode()
    def answer(self, requests: list[dict[str, Any]], json_schema: str | None, top_p: float) -> list[dict[str, Any]]:
        """Generate one completion a request, in their order."""
        started = time.perf_counter()
        prompts = [self.tokens(request) for request in requests]
        prefix = os.path.commonprefix(prompts)[: min(map(len, prompts)) - 1]
        if len(prompts) < 2 or len(prefix) < SHORTEST_CACHED_PREFIX:
            prefix = []
        input_ids, attention_mask = self.pad(prompts, len(prefix))
        samplers = LogitsProcessorList()
        if json_schema:
            grammar = self.grammars.compile_json_schema(json_schema, any_whitespace=False)
            samplers.append(GrammarProcessor(grammar))
        samplers.append(SeededSampling([r["temperature"] for r in requests], [r["seed"] for r in requests], top_p))
        longest = [request["max_tokens"] for request in requests]
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=self.prefix_cache(prefix, len(prompts)),
            max_new_tokens=max(longest),
            do_sample=False,
            logits_processor=samplers,
        )
        seconds = (time.perf_counter() - started) / len(requests)
        rows = zip(requests, prompts, longest, output[:, input_ids.shape[1] :].tolist(), strict=True)
        return [self.completion(r, len(p), tokens[:limit], seconds) for r, p, limit, tokens in rows]

    def tokens(self, request: dict[str, Any]) -> list[int]:
        """The request as token ids, through the model's own chat template."""
        messages = [{"role": "user", "content": request["user"]}]
        if request["system"]:
            messages.insert(0, {"role": "system", "content": request["system"]})
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def pad(self, prompts: list[list[int]], prefix: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad after the shared prefix, so that one cached prefix fits every row. Both tensors are (rows, tokens)."""
        width = max(map(len, prompts))
        input_ids = np.full((len(prompts), width), self.tokenizer.pad_token_id)
        attention_mask = np.zeros((len(prompts), width), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            start = width - (len(prompt) - prefix)
            input_ids[row, :prefix], input_ids[row, start:] = prompt[:prefix], prompt[prefix:]
            attention_mask[row, :prefix] = attention_mask[row, start:] = 1
        return torch.from_numpy(input_ids), torch.from_numpy(attention_mask)

    def prefix_cache(self, prefix: list[int], rows: int) -> Cache | None:
        """Keys and values of the prefix, computed once and repeated for every row; None without a prefix."""
        if not prefix:
            return None
        cache = DynamicCache(config=self.model.config)
        self.model(input_ids=torch.tensor([prefix]), past_key_values=cache)
        cache.batch_repeat_interleave(rows)
        return cache

    def completion(self, request: dict[str, Any], input_tokens: int, tokens: list[int], seconds: float) -> dict[str, Any]:
        """One row of `tables.COMPLETIONS`."""
        stop = next((i for i, token in enumerate(tokens) if token in self.end_tokens), None)
        kept = tokens if stop is None else tokens[:stop]
        return {
            "request_id": request["request_id"],
            "completion": self.tokenizer.decode(kept, skip_special_tokens=True),
            "finish_reason": "length" if stop is None else "stop",
            "input_tokens": input_tokens,
            "output_tokens": len(kept) + (stop is not None),
            "seconds": seconds,
            "error": None,
        }
