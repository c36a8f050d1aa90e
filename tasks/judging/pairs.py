"""Join labelled answers into pairs, and choose those that are worth the judges' time.

In: tables `responses` and `labels`. Out: tables `pairs` and, where there is a budget, `pair_quotas`.
Grain: two answers of one responder to one prompt; one cell of mix, severity and harm category.
"""

from tasks import warehouse
from tasks.config import Config
from tasks.tables import DROPPED, HARM_CATEGORIES, PAIR_QUOTAS, PAIRS, QUOTA_CELLS, Ref, Stage, screened


def pair_responses(config: Config, responses: Ref, labels: Ref, folder: str) -> Stage:
    """Pair the labelled answers below `folder`; an answer that is in no pair is left out with its reason.

    Raises:
        StorageError: the folder cannot be written.
    """
    labelled = {"responses": responses, "labels": labels}
    all_pairs = warehouse.build(PAIRS, folder, "pairs", labelled)
    tables = choose(config, all_pairs, labels, folder)
    looked_at = warehouse.build(
        screened(PAIRS, ()),
        folder,
        "screened_pairs",
        {**labelled, "all_pairs": all_pairs, "pairs": tables["pairs"]},
    )
    dropped = warehouse.build(
        DROPPED, folder, "dropped", {"screened": looked_at}, table_name="pairs", stage="labels_to_pairs"
    )
    kept = looked_at.rows - dropped.rows
    return Stage("labels_to_pairs", "labelled answer of a responder", looked_at.rows, kept, dropped, tables)


def choose(config: Config, pairs: Ref, labels: Ref, folder: str) -> dict[str, Ref]:
    """All pairs, or as many as the budget allows, spread over mixes, severities and harm categories by quota."""
    if config.pairs is None:
        return {"pairs": pairs}
    cells = warehouse.build(QUOTA_CELLS, folder, "quota_cells", {"pairs": pairs, "labels": labels}, seed=config.seed)
    quotas = warehouse.build(
        PAIR_QUOTAS,
        folder,
        "pair_quotas",
        {"quota_cells": cells},
        harm_categories=list(HARM_CATEGORIES),
        **config.pairs.model_dump(),
    )
    inputs = {"pairs": pairs, "quota_cells": cells, "pair_quotas": quotas}
    return {"pairs": warehouse.build(PAIRS, folder, "chosen_pairs", inputs), "pair_quotas": quotas}
