"""Embed answers with a local sentence-transformers model.

In: a batch of (response_id, response). Out: a batch of `tables.EMBEDDINGS`, same order. Grain: one row per answer.
"""

import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer

from tasks.tables import EMBEDDINGS


class SentenceEmbedder:
    """A Ray Data actor that loads its model once; `threads` are CPU threads of the actor."""

    def __init__(self, model: str, threads: int) -> None:
        self.threads = threads
        self.model = SentenceTransformer(model, device="cpu")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the batch; an embedding is a unit vector of the model's width (384 for MiniLM-L6)."""
        # Here and not at the start: Ray Data calls from another thread, and OpenMP counts threads for each of them.
        torch.set_num_threads(self.threads)
        vectors = self.model.encode(batch["response"].to_pylist(), normalize_embeddings=True, show_progress_bar=False)
        return pa.table(
            {"response_id": batch["response_id"], "embedding": pa.array(list(vectors), pa.list_(pa.float32()))},
            schema=EMBEDDINGS.schema,
        )
