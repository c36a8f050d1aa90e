"""Embed answers with a local sentence-transformers model.

In: a batch of (response_id, response). Out: a batch of `tables.EMBEDDINGS`, same order. Grain: one row per answer.
"""

from math import isinf

import pyarrow as pa

from infra import storage
from tasks.engines import Answer
from tasks.engines.actors import actor, cluster_cpus
from tasks.engines.sentence_transformers import SentenceTransformers
from tasks.tables import EMBEDDINGS


def answering(embedder: SentenceTransformers, store: str) -> Answer:
    """One actor with all CPUs of the cluster."""
    return actor(store, SentenceEmbedder, model=storage.resolve(embedder.model), threads=cluster_cpus())


class SentenceEmbedder:
    """A Ray Data actor that loads its model once; `threads` are CPU threads of the actor."""

    def __init__(self, model: str, threads: int) -> None:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (takes seconds, which only an actor is to spend)

        self.threads = threads
        self.model = SentenceTransformer(model, device="cpu")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the batch; an embedding is a unit vector of the model's width (384 for MiniLM-L6)."""
        import torch  # noqa: PLC0415

        # Here and not at the start: Ray Data calls from another thread, and OpenMP counts threads for each of them.
        torch.set_num_threads(self.threads)
        responses = batch["response"].to_pylist()
        vectors = self.model.encode(responses, normalize_embeddings=True, show_progress_bar=False)
        embedded = {
            "response_id": batch["response_id"],
            "embedding": pa.array(list(vectors), pa.list_(pa.float32())),
            "is_cut": self.are_cut(responses),
        }
        return pa.table(embedded, schema=EMBEDDINGS.schema)

    def are_cut(self, responses: list[str]) -> list[bool | None]:
        """Of which answers the model reads only the beginning, which it does without a word; None where nobody can tell."""
        window, tokenizer = self.model.max_seq_length, self.model.tokenizer
        if not window or isinf(window):
            return [False] * len(responses)
        if not callable(tokenizer):
            return [None] * len(responses)
        before = self.model.prompts.get(self.model.default_prompt_name or "", "")
        tokens = tokenizer([f"{before}{response}" for response in responses], truncation=False, verbose=False)
        return [len(ids) > window for ids in tokens["input_ids"]]
