"""Suite across tables: foreign keys, sums that add up, splits that do not leak, files that are what they were."""

from expectations.rules import no_rows, not_empty

EXPECTATIONS = [
    not_empty(),
    no_rows("release_counts"),
    no_rows("release_leak"),
    no_rows("release_qa_orphans"),
    no_rows("release_dual_orphans"),
    no_rows("release_single_orphans"),
    no_rows("release_annotation_orphans"),
    no_rows("release_missing_answers"),
    no_rows("release_files"),
]
