"""Suite of the released `prompts`: PKU-SafeRLHF's columns, no blank, no duplicate."""

from expectations.rules import columns_are, no_rows, not_empty, not_null, unique

EXPECTATIONS = [
    columns_are("prompt", "prompt_source", "filename"),
    not_empty(),
    *not_null("prompt", "prompt_source"),
    unique("prompt"),
    no_rows("prompts_blank"),
]
