"""Answer requests with a local Hugging Face causal language model.

In: a batch of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order.
Grain: one row per request.
"""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
import xgrammar
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StaticCache,
    TopPLogitsWarper,
)
from xgrammar.contrib.hf import LogitsProcessor as GrammarProcessor

from infra import storage
from tasks.engines import Answer
from tasks.engines.actors import actor, cluster_cpus
from tasks.engines.blocks import completions
from tasks.engines.causal import end_tokens, load_model, most_together
from tasks.engines.chat import confidence, too_long
from tasks.engines.grammar import grammar
from tasks.engines.templates import begun, load_form, prompt_tokens
from tasks.engines.transformers import Transformers

PADDING = 0
"""A token that every model has; what stands in its place is never attended to, nor read."""
SHORTEST_CACHED_PREFIX = 32
"""Tokens. Below this a shared prefix costs less to compute again than to copy. Measured with SmolLM2-135M on 2 cores."""


def answering(engine: Transformers, store: str) -> Answer:
    """One actor with all CPUs of the cluster."""
    folder = storage.resolve(engine.model)
    return actor(store, TransformersEngine, model=folder, dtype=engine.dtype, threads=cluster_cpus())


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
        self.model = load_model(model, model, dtype=dtype)
        text = self.model.config.get_text_config()
        ends = {self.tokenizer.eos_token_id, *end_tokens(model, model)} - {None}
        self.end_tokens = sorted(token for token in ends if 0 <= token < text.vocab_size)
        self.most_together = most_together(self.model)
        fits = self.most_together > 0 and self.model._can_compile_fullgraph  # the library's name for that
        self.fits_static = fits and not getattr(text, "alibi", False)  # Falcon reads from the mask where a row begins
        self.positions: int | None = getattr(text, "max_position_embeddings", None)
        # A grammar must be able to end: where nothing else does, padding is its end.
        tokenizer_info = xgrammar.TokenizerInfo.from_huggingface(
            self.tokenizer, vocab_size=text.vocab_size, stop_token_ids=self.end_tokens or [PADDING]
        )
        self.grammars = xgrammar.GrammarCompiler(tokenizer_info)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch; rows that share schema, nucleus and limit are generated together where that changes no answer."""
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
                alone = len(prompt) + request["max_tokens"] > self.most_together
                key = (request["json_schema"], request["top_p"], request["max_tokens"], index if alone else None)
                groups.setdefault(key, []).append(index)
        for (json_schema, top_p, limit, _), indexes in groups.items():
            sharing = [requests[i] for i in indexes], [prompts[i] for i in indexes]
            answered = self.answer(*sharing, json_schema, top_p, limit)
            for index, completion in zip(indexes, answered, strict=True):
                rows[index] = completion
        return completions(rows)

    @torch.inference_mode()
    def answer(
        self,
        requests: list[dict[str, Any]],
        prompts: list[list[int]],
        json_schema: str | None,
        top_p: float,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Generate one completion a request, in their order; `prompts` are their tokens."""
        started = time.perf_counter()
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        input_ids = torch.tensor([[PADDING] * pad + prompt for pad, prompt in zip(padding, prompts, strict=True)])
        attention_mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
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
        ends = self.end_tokens or ([PADDING] if json_schema else [])
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=GenerationConfig(
                max_new_tokens=limit,
                do_sample=False,
                use_cache=True,
                pad_token_id=PADDING,
                eos_token_id=ends or None,
            ),
            logits_processor=samplers,
            **self.cache(shared_prefix(prompts), padding, width + limit),
        )
        seconds = (time.perf_counter() - started) / len(requests)
        drawn = output[:, width:].tolist()
        logprobs = torch.stack(seeded.logprobs, dim=1).tolist() if seeded.logprobs else [[]] * len(requests)
        rows = zip(requests, prompts, drawn, logprobs, strict=True)
        return [
            self.completion(request, len(prompt), tokens, ends, seconds)
            | {"confidence": self.confidence(request, tokens, spelled)}
            for request, prompt, tokens, spelled in rows
        ]

    def confidence(self, request: dict[str, Any], tokens: list[int], logprobs: list[float]) -> float | None:
        """How sure the model is of what the request asks it to decide."""
        if not request["decision"]:
            return None
        drawn = zip(tokens, logprobs, strict=False)
        return confidence(request["decision"], [(self.tokenizer.decode([token]), logprob) for token, logprob in drawn])

    def cache(self, prefix: list[int], padding: list[int], tokens: int) -> dict[str, StaticCache]:
        """Room for the keys and values of (rows, tokens), those of the shared prefix computed once and filled in.

        Allocated as a whole: a cache that grows is copied at every step, which took 70% of the time of long prompts. A model
        that does not fit it makes its own. Each row's prefix stands behind its padding, where the library would have put it.
        """
        if not self.fits_static:
            return {}
        cache = StaticCache(config=self.model.config, max_cache_len=tokens)
        if prefix:
            shared = DynamicCache()  # told nothing of windows, it keeps what is before them too
            self.model(input_ids=torch.tensor([prefix]), past_key_values=shared)
            at = (torch.arange(len(prefix)) - torch.tensor(padding).unsqueeze(1)).clamp(min=0)
            for index, layer in enumerate(shared.layers):
                if not layer.is_initialized:  # it attends to something else than the text
                    continue
                keys, values = (states[0][:, at].transpose(0, 1) for states in (layer.keys, layer.values))
                cache.update(keys, values, index)
        return {"past_key_values": cache}

    def completion(
        self, request: dict[str, Any], input_tokens: int, tokens: list[int], ends: list[int], seconds: float
    ) -> dict[str, Any]:
        """One row of `tables.COMPLETIONS`."""
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        kept = tokens if stop is None else tokens[:stop]
        return {
            "request_id": request["request_id"],
            "completion": begun(self.form, request)
            + self.tokenizer.decode(
                kept, skip_special_tokens=not self.form.hides_marks, clean_up_tokenization_spaces=False
            ),
            "finish_reason": "length" if stop is None else "stop",
            "input_tokens": input_tokens,
            "output_tokens": len(kept) + (stop is not None),
            "seconds": seconds,
            "error": None,
        }
