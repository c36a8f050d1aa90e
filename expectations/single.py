"""Suite of the released `single`: PKU-SafeRLHF's columns and two different answers."""

from expectations.rules import among, columns_are, no_rows, not_empty, not_null

COLUMNS = (
    "prompt",
    "response_0",
    "response_1",
    "prompt_source",
    "response_0_source",
    "response_1_source",
    "better_response_id",
    "response_0_sha256",
    "response_1_sha256",
)
EXPECTATIONS = [
    columns_are(*COLUMNS, "filename"),
    not_empty("A pair with an overall preference is released."),
    *not_null(*COLUMNS),
    among("better_response_id", [0, 1]),
    no_rows("single_blank_or_equal"),
    no_rows("single_digest"),
    no_rows("single_twice"),
]
