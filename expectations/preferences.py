"""Suite of `preferences`: three decisions a pair, each with its agreement."""

from expectations.rules import among, between, no_rows, not_empty, not_null, unique
from tasks.tables import PREFERENCES

DECISIONS = ("better_response_id", "safer_response_id", "overall_response_id")
AGREEMENTS = ("better_agreement", "safer_agreement", "overall_agreement")
EXPECTATIONS = [
    not_empty(
        "A pair is decided; where none is, answers to a prompt are alike (raise samples) or no judge compared them."
    ),
    *not_null("pair_id", *DECISIONS, *AGREEMENTS, "decided_by", "by_people"),
    unique(*PREFERENCES.key),
    *(among(column, [0, 1]) for column in DECISIONS),
    *(between(column, 0, 1) for column in AGREEMENTS),
    no_rows("preferences_depend_on_order", severity="warning"),
]
