"""Turn the user's rows into prompts.

In: table `sources`. Out: table `prompts`. Grain: one row per kept prompt: normalised, not blank, not too long, unique,
in a language that is asked for, and on one side of the train/test split. The side is a hash of the prompt's letters in
one order, so that it never changes between releases and that copies which differ in case, accents, punctuation, width or
word order stay together.
"""

from infra import storage
from tasks import warehouse
from tasks.config import Config
from tasks.errors import SourceError
from tasks.prompts.sources import read_sources
from tasks.tables import PROMPTS, Stage, screened


def build_prompts(config: Config, folder: str) -> Stage:
    """Read, normalise, screen and split the prompts of `config` below `folder`.

    Raises:
        SourceError: the file cannot be read, or no prompt in it can be used.
        StorageError: the folder cannot be written.
    """
    sources = read_sources(config.prompts.source, folder)
    looked_at = warehouse.build(
        screened(PROMPTS),
        folder,
        "screened_prompts",
        {"sources": sources},
        max_chars=config.prompts.max_chars,
        test_share=config.prompts.test_share,
        languages=list(config.prompts.languages),
    )
    prompts, dropped = warehouse.sift(PROMPTS, folder, looked_at, "sources_to_prompts")
    if not prompts.rows:
        reasons = ", ".join(f"{row['rows']} {row['reason']}" for row in warehouse.rows("drops", {"dropped": [dropped]}))
        raise SourceError(
            f"{storage.shown(config.prompts.source)}: no usable prompt among {sources.rows} rows ({reasons}); mend the file"
        )
    return Stage(
        "sources_to_prompts", "row of the prompts file", sources.rows, prompts.rows, dropped, {"prompts": prompts}
    )
