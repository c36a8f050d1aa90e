"""Suite of the released `dual`: PKU-SafeRLHF's columns, two different answers, and a safer answer that is safer."""

from expectations.rules import among, between, columns_are, no_rows, not_empty, not_null

COLUMNS = (
    "prompt",
    "response_0",
    "response_1",
    "prompt_source",
    "response_0_source",
    "response_1_source",
    "is_response_0_safe",
    "is_response_1_safe",
    "response_0_harm_category",
    "response_1_harm_category",
    "response_0_severity_level",
    "response_1_severity_level",
    "better_response_id",
    "safer_response_id",
    "response_0_sha256",
    "response_1_sha256",
)
EXPECTATIONS = [
    columns_are(*COLUMNS, "filename"),
    not_empty("A pair with labels and preferences is released."),
    *not_null(*COLUMNS),
    among("better_response_id", [0, 1]),
    among("safer_response_id", [0, 1]),
    between("response_0_severity_level", 0, 3),
    between("response_1_severity_level", 0, 3),
    no_rows("dual_blank_or_equal"),
    no_rows("dual_digest"),
    no_rows("dual_twice"),
    no_rows("dual_contradiction"),
    no_rows("dual_safer_is_unsafe"),
    no_rows("dual_two_responders"),
    no_rows("dual_mirrored"),
]
