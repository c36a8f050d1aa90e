"""Suite of the released `qa`: PKU-SafeRLHF's columns, labels that do not contradict themselves or each other."""

from expectations.rules import between, columns_are, no_rows, not_empty, not_null

COLUMNS = (
    "prompt",
    "response",
    "prompt_source",
    "response_source",
    "is_safe",
    "harm_category",
    "severity_level",
    "sha256",
)
EXPECTATIONS = [
    columns_are(*COLUMNS, "filename"),
    not_empty("A response with a label is released."),
    *not_null(*COLUMNS),
    between("severity_level", 0, 3),
    no_rows("qa_blank_response"),
    no_rows("qa_digest"),
    no_rows("qa_twice"),
    no_rows("qa_contradiction"),
    no_rows("qa_conflicting_labels"),
]
