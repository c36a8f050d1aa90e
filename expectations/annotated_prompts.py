"""Suite of `annotations/prompts.parquet`: every kept prompt with its split and its language."""

from expectations.rules import among, columns_are, not_empty, not_null, unique
from tasks.functions import LANGUAGES
from tasks.release.candidate import SPLITS
from tasks.tables import PROMPTS

EXPECTATIONS = [
    columns_are(*PROMPTS.schema.names),
    not_empty("A prompt is kept; where none is, table dropped says why each was left out: give others."),
    *not_null("prompt_id", "prompt", "prompt_source", "cluster_id"),
    unique(*PROMPTS.key),
    among("split", SPLITS),
    among("language", LANGUAGES),
]
