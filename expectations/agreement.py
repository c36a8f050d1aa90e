"""Suite of `agreement`: every measure is there or is null for a reason, and reaches what the configuration asks of it."""

from expectations.rules import among, between, no_rows, not_empty, not_null, unique
from tasks.tables import AGREEMENT, AGREEMENT_QUESTIONS

EXPECTATIONS = [
    not_empty("Agreement is measured, or it is said that none can be."),
    *not_null("question", "between", "measure", "subjects"),
    unique(*AGREEMENT.key),
    among("question", AGREEMENT_QUESTIONS),
    between("value", -1, 1),
    no_rows("agreement_not_reached"),
    no_rows("agreement_not_reached", severity="warning", rule="agreement_not_reached_warned"),
]
