"""Turn the user's rows into prompts.

In: table `sources`. Out: table `prompts`. Grain: one row per kept prompt: normalised, not blank, not too long, unique,
in a language that is asked for, and on one side of the train/test split. The side is a hash of the prompt's letters in
one order, so that it never changes between releases and that copies which differ in case, accents, punctuation, width or
word order stay together.
"""

import logging

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import SourceError
from tasks.prompts.near_duplicates import find_near_duplicates
from tasks.prompts.sources import read_sources
from tasks.tables import PROMPTS, Stage, screened
from tasks.warehouse import Tables

logger = logging.getLogger(__name__)


def build_prompts(config: Config, folder: str) -> Stage:
    """Read, normalise, screen and split the prompts of `config` below `folder`, and take of each source what is asked for.

    Raises:
        SourceError: a file cannot be read, or no prompt can be used.
        StorageError: the folder cannot be written, or an earlier release is not as it was published.
    """
    sources = read_sources(config, folder)
    looked_at = warehouse.build(
        screened(PROMPTS),
        folder,
        "screened_prompts",
        {"sources": sources},
        max_chars=config.prompts.max_chars,
        test_share=config.prompts.test_share,
        languages=list(config.prompts.languages),
    )
    alike = find_near_duplicates(looked_at, folder, config.prompts.near_duplicates)
    looked_at = warehouse.build(
        screened(PROMPTS), folder, "distinct_prompts", {"screened": looked_at, "near_duplicates": alike}
    )
    limits = [source.model_dump(include={"name", "count", "share"}) for source in config.prompts.sources]
    if any(limit["count"] or limit["share"] for limit in limits):
        looked_at = warehouse.build(screened(PROMPTS), folder, "taken_prompts", {"screened": looked_at}, limits=limits)
    prompts, dropped = warehouse.sift(PROMPTS, folder, looked_at, "sources_to_prompts")
    made: Tables = {"prompts": [prompts], "dropped": [dropped]}
    for row in warehouse.rows("prompt_sources", made):
        logger.info("prompts of %s: %d kept, %d left out", row["source"] or "no source", row["kept"], row["left_out"])
    if not prompts.rows:
        reasons = ", ".join(f"{row['rows']} {row['reason']}" for row in warehouse.rows("drops", {"dropped": [dropped]}))
        raise SourceError(f"{named(config)}: no usable prompt among {sources.rows} rows ({reasons}); mend the file")
    return Stage(
        "sources_to_prompts", "row of the prompts file", sources.rows, prompts.rows, dropped, {"prompts": prompts}
    )


def named(config: Config) -> str:
    """What errors call the sources of prompts."""
    if config.prompts.source is not None:
        return storage.shown(config.prompts.source)
    return ", ".join(source.name for source in config.prompts.sources)
