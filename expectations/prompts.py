"""Suite of the released `prompts`: PKU-SafeRLHF's columns, no blank, no duplicate."""

from expectations.rules import columns_are, no_rows, not_empty, not_null, unique

EXPECTATIONS = [
    columns_are("prompt", "prompt_source", "filename"),
    not_empty("A prompt is released; where none is, table dropped says why each was left out: give others."),
    *not_null("prompt", "prompt_source"),
    unique("prompt"),
    no_rows("prompts_blank"),
]
