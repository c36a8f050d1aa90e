"""Find prompts that are nearly the same as an earlier one.

In: table `screened_prompts`. Out: table `near_duplicates`. Grain: one row per prompt that is left out; the one that it is like stays.

Two texts are as alike as their shingles: the Jaccard similarity of what each has of three words in a row (Broder 1997, "On the
resemblance and containment of documents"). All that are at least so alike as asked for are found, and few are compared: they have
one of their rarest shingles in common (Chaudhuri, Ganti and Kaushik 2006, "A primitive operator for similarity joins in data
cleaning"; Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"). What is left out is no longer compared with, so
that thousands of copies of one text cost no more than that many comparisons.
"""

from collections import defaultdict
from typing import Any

import pyarrow as pa

from tasks import warehouse
from tasks.tables import NEAR_DUPLICATES, NEAR_TEXTS, Ref

ROUNDING = 1e-9
STANDS_ON = ("pyarrow",)


def find_near_duplicates(screened: Ref, folder: str, threshold: float) -> Ref:
    """The table `near_duplicates` of the prompts in `screened` that nothing else keeps out.

    Raises:
        StorageError: the folder cannot be written.
    """
    texts = warehouse.build(NEAR_TEXTS, folder, "near_texts", {"screened": screened}, threshold=threshold)
    return warehouse.derive(NEAR_DUPLICATES, folder, left_out, STANDS_ON, {"texts": texts}, threshold=threshold)


def left_out(texts: pa.Table, threshold: float) -> pa.Table:
    """Which of these texts, in their order, are at least so alike to one before them that stays; of several the most alike one is told."""
    found: list[dict[str, Any]] = []
    kept: dict[int, tuple[int, list[int]]] = {}
    having: dict[int, list[int]] = defaultdict(list)
    for text in texts.to_pylist():
        position, size, shared = text["position"], text["size"], text["shared"]
        most, earlier = 0.0, 0
        for other in {other for shingle in text["rare"] for other in having[shingle]}:
            other_size, other_shared = kept[other]
            if min(size, other_size) >= threshold * max(size, other_size) - ROUNDING:
                common = len(set(shared).intersection(other_shared))
                similarity = common / (size + other_size - common)
                if (similarity, -other) > (most, -earlier):
                    most, earlier = similarity, other
        if most >= threshold - ROUNDING:
            found.append({"position": position, "earlier": earlier, "similarity": most})
            continue
        kept[position] = (size, shared)
        for shingle in text["rare"]:
            having[shingle].append(position)
    return pa.Table.from_pylist(found, schema=NEAR_DUPLICATES.schema)
