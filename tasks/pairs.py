"""Join labelled answers into pairs.

In: tables `responses` and `labels`. Out: table `pairs`. Grain: two answers of one responder to one prompt.
"""

from tasks import warehouse
from tasks.tables import DROPPED, PAIRS, Ref, Stage, screened


def pair_responses(responses: Ref, labels: Ref, folder: str) -> Stage:
    """Pair the labelled answers below `folder`; an answer without a partner is left out with its reason.

    Raises:
        StorageError: the folder cannot be written.
    """
    labelled = {"responses": responses, "labels": labels}
    pairs = warehouse.build(PAIRS, folder, "pairs", labelled)
    looked_at = warehouse.build(screened(PAIRS, ()), folder, "screened_pairs", {**labelled, "pairs": pairs})
    dropped = warehouse.build(
        DROPPED, folder, "dropped", {"screened": looked_at}, table_name="pairs", stage="labels_to_pairs"
    )
    kept = looked_at.rows - dropped.rows
    return Stage("labels_to_pairs", "labelled answer of a responder", looked_at.rows, kept, dropped, {"pairs": pairs})
