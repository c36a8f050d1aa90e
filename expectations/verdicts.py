"""Suite of `verdicts`: every vote says who cast it on what, and either says something or has a problem."""

from expectations.rules import among, between, no_rows, not_empty, not_null, unique

EXPECTATIONS = [
    not_empty("A judge voted on a response; where none did, mend the judges."),
    *not_null(
        "verdict_id", "subject_id", "question", "annotator", "annotator_kind", "rubric", "vote", "attempt", "flipped"
    ),
    unique("verdict_id", "question"),
    unique("annotator", "question", "subject_id", "flipped", "rubric", "vote", "attempt"),
    among("annotator_kind", ["model", "person"]),
    among("question", ["harm", "helpfulness", "harmlessness", "overall"]),
    between("severity_level", 0, 3),
    among("winner", [0, 1]),
    between("confidence", 0, 1),
    no_rows("verdicts_say_nothing"),
    no_rows("verdicts_mostly_unusable", severity="warning"),
]
