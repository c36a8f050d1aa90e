"""Answer requests with a local Hugging Face causal language model.

In: a batch of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order.
Grain: one row per request.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import xgrammar
from transformers import (
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    LogitsProcessor,
    LogitsProcessorList,
    StaticCache,
    TopPLogitsWarper,
)
from xgrammar.contrib.hf import LogitsProcessor as GrammarProcessor

from tasks.engines.blocks import completions
from tasks.engines.chat import confidence, too_long
from tasks.engines.grammar import grammar
from tasks.engines.templates import load_form, prompt_tokens

SHORTEST_CACHED_PREFIX = 32
"""Tokens. Below this a shared prefix costs less to compute again than to copy. Measured with SmolLM2-135M on 2 cores."""


def shared_prefix(prompts: list[list[int]]) -> list[int]:
    """The tokens that all prompts begin with, if they are worth caching; at least one token of each is left."""
    if len(prompts) < 2:
        return []
    shortest = min(map(len, prompts)) - 1
    shared = next((i for i, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1), shortest)
    length = min(shared, shortest)
    return prompts[0][:length] if length >= SHORTEST_CACHED_PREFIX else []


class SeededSampling(LogitsProcessor):  # type: ignore[misc] # transformers is untyped here
    """Turn greedy decoding into sampling in which every row has its own temperature and its own seed.

    Draws by inversion: the token at which the row's cumulated probability passes a uniform number. A row's
    numbers do not depend on the rows that share its batch. With `remember`, `logprobs` holds (rows) for each step: how
    probable the drawn tokens were among those that the grammar allowed, at temperature 1.
    """

    def __init__(self, temperatures: Sequence[float], seeds: Sequence[int], top_p: float, remember: bool) -> None:
        self.remember = remember
        self.logprobs: list[torch.Tensor] = []
        self.greedy = torch.tensor(temperatures) == 0
        self.temperatures = torch.tensor(temperatures).where(~self.greedy, torch.tensor(1.0)).unsqueeze(1)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.nucleus = TopPLogitsWarper(top_p) if top_p < 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores are (rows, vocabulary); returns the same shape, with every token but the drawn one at minus infinity."""
        tempered: Any = scores.float().cpu() / self.temperatures
        if self.nucleus:
            tempered = self.nucleus(input_ids, tempered)
        cumulated = tempered.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
        draws = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in self.generators])
        drawn = torch.searchsorted(cumulated, draws * cumulated[:, -1:], right=True).squeeze(1)
        tokens = torch.where(self.greedy, tempered.argmax(dim=-1), drawn).unsqueeze(1).to(scores.device)
        if self.remember:
            self.logprobs.append(scores.float().log_softmax(dim=-1).gather(1, tokens).squeeze(1).cpu())
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0.0)


class TransformersEngine:
    """A Ray Data actor that loads its model once and answers batches.

    Args:
        model: folder of a checkpoint that `transformers` loads.
        dtype: name of a torch dtype, for instance `bfloat16`.
        threads: CPU threads for one actor.
    """

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        self.threads = threads
        self.form = load_form(model)
        self.tokenizer = self.form.tokenizer
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
        vocabulary = self.model.config.vocab_size
        tokenizer_info = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=vocabulary)
        self.grammars = xgrammar.GrammarCompiler(tokenizer_info)
        ends = self.model.generation_config.eos_token_id
        self.end_tokens = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        self.padding = next(t for t in (self.tokenizer.pad_token_id, *sorted(self.end_tokens)) if t is not None)
        self.positions: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch; rows that share a schema and a nucleus are generated together."""
        # Here and not at the start: Ray Data calls from another thread, and OpenMP counts threads for each of them.
        torch.set_num_threads(self.threads)
        requests = batch.to_pylist()
        asked = [prompt_tokens(self.form, request) for request in requests]
        prompts = [tokens for tokens, _ in asked]
        rows: list[dict[str, Any]] = [{}] * len(requests)
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, (request, (prompt, fault)) in enumerate(zip(requests, asked, strict=True)):
            if error := fault or too_long(len(prompt), request["max_tokens"], self.positions):
                rows[index] = {"request_id": request["request_id"], "error": error, "input_tokens": len(prompt)}
            else:
                groups.setdefault((request["json_schema"], request["top_p"]), []).append(index)
        for (json_schema, top_p), indexes in groups.items():
            answered = self.answer([requests[i] for i in indexes], [prompts[i] for i in indexes], json_schema, top_p)
            for index, completion in zip(indexes, answered, strict=True):
                rows[index] = completion
        return completions(rows)

    @torch.inference_mode()
    def answer(
        self, requests: list[dict[str, Any]], prompts: list[list[int]], json_schema: str | None, top_p: float
    ) -> list[dict[str, Any]]:
        """Generate one completion a request, in their order; `prompts` are their tokens."""
        started = time.perf_counter()
        prefix = shared_prefix(prompts)
        input_ids, attention_mask = self.pad(prompts, len(prefix))
        samplers = LogitsProcessorList()
        if json_schema:
            samplers.append(GrammarProcessor(self.grammars.compile_grammar(grammar(json_schema))))
        seeded = SeededSampling(
            [r["temperature"] for r in requests],
            [r["seed"] for r in requests],
            top_p,
            remember=any(r["decision"] for r in requests),
        )
        samplers.append(seeded)
        longest = [request["max_tokens"] for request in requests]
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=self.cache(prefix, len(prompts), input_ids.shape[1] + max(longest)),
            max_new_tokens=max(longest),
            pad_token_id=self.padding,
            do_sample=False,
            logits_processor=samplers,
        )
        seconds = (time.perf_counter() - started) / len(requests)
        drawn = output[:, input_ids.shape[1] :].tolist()
        logprobs = torch.stack(seeded.logprobs, dim=1).tolist() if seeded.logprobs else [[]] * len(requests)
        rows = zip(requests, prompts, longest, drawn, logprobs, strict=True)
        return [
            self.completion(r, len(p), tokens[:limit], seconds) | {"confidence": self.confidence(r, tokens, spelled)}
            for r, p, limit, tokens, spelled in rows
        ]

    def confidence(self, request: dict[str, Any], tokens: list[int], logprobs: list[float]) -> float | None:
        """How sure the model is of what the request asks it to decide."""
        if not request["decision"]:
            return None
        spoken = zip(tokens, logprobs, strict=False)
        return confidence(request["decision"], [(self.tokenizer.decode([token]), logprob) for token, logprob in spoken])

    def pad(self, prompts: list[list[int]], prefix: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad after the shared prefix, so that one cached prefix fits every row. Both tensors are (rows, tokens)."""
        width = max(map(len, prompts))
        input_ids = np.full((len(prompts), width), self.padding)
        attention_mask = np.zeros((len(prompts), width), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            start = width - (len(prompt) - prefix)
            input_ids[row, :prefix], input_ids[row, start:] = prompt[:prefix], prompt[prefix:]
            attention_mask[row, :prefix] = attention_mask[row, start:] = 1
        return torch.from_numpy(input_ids), torch.from_numpy(attention_mask)

    def cache(self, prefix: list[int], rows: int, tokens: int) -> Cache:
        """Room for the keys and values of (rows, tokens), those of the shared prefix computed once and filled in.

        Allocated as a whole: a cache that grows is copied at every step, which took 70% of the time of long prompts.
        """
        cache = StaticCache(config=self.model.config, max_cache_len=tokens)
        if prefix:
            shared = DynamicCache(config=self.model.config)
            self.model(input_ids=torch.tensor([prefix]), past_key_values=shared)
            for index, layer in enumerate(shared.layers):
                keys, values = (states.expand(rows, -1, -1, -1) for states in (layer.keys, layer.values))
                cache.update(keys, values, index)
        return cache

    def completion(
        self, request: dict[str, Any], input_tokens: int, tokens: list[int], seconds: float
    ) -> dict[str, Any]:
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
