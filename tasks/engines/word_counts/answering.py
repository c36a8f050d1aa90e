"""Embed answers by counting their words.

In: a batch of (response_id, response). Out: a batch of `tables.EMBEDDINGS`, same order. Grain: one row per answer.
"""

import zlib

import pyarrow as pa

from tasks.engines import Answer
from tasks.engines.actors import actor
from tasks.engines.word_counts import WordCounts
from tasks.tables import EMBEDDINGS

EMBEDDING_WIDTH = 32


def answering(_: WordCounts, store: str) -> Answer:
    """One actor."""
    return actor(store, WordCounter)


class WordCounter:
    """A Ray Data actor that embeds an answer as the counts of its words, hashed to a few places."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the batch."""
        vectors = [self.embed(response) for response in batch["response"].to_pylist()]
        whole = [False] * len(vectors)
        return pa.table(
            {"response_id": batch["response_id"], "embedding": vectors, "is_cut": whole}, schema=EMBEDDINGS.schema
        )

    def embed(self, response: str) -> list[float]:
        """Counts of words by CRC-32 of the word; the constant keeps an answer without words off the origin."""
        counts = [0.01] * EMBEDDING_WIDTH
        for word in response.lower().split():
            counts[zlib.crc32(word.encode()) % EMBEDDING_WIDTH] += 1
        return counts
