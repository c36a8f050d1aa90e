"""Suite of `labels`: one label an answer, derived from at least one vote, with its agreement."""

from expectations.rules import between, no_rows, not_empty, not_null, unique
from tasks.tables import LABELS

EXPECTATIONS = [
    not_empty(
        "A response has a label; where none has, table verdicts says what is wrong with each vote: mend the judges."
    ),
    *not_null("response_id", "is_safe", "harm_category", "severity_level", "votes"),
    *not_null("agreement", "confidence", "decided_by", "by_people"),
    unique(*LABELS.key),
    between("severity_level", 0, 3),
    between("votes", 1),
    between("agreement", 0, 1),
    between("confidence", 0, 1),
    no_rows("labels_without_agreement", severity="warning"),
]
