"""Suite across tables: foreign keys, sums that add up, splits that do not leak, files that are what they were."""

from expectations.rules import no_rows, not_empty

EXPECTATIONS = [
    not_empty("A stage is listed."),
    no_rows("release_counts"),
    no_rows("release_leak"),
    no_rows("release_prompt_orphans"),
    no_rows("release_qa_orphans"),
    no_rows("release_dual_orphans"),
    no_rows("release_single_orphans"),
    no_rows("release_annotation_orphans"),
    no_rows("release_missing_answers"),
    no_rows("release_engine_errors"),
    no_rows("release_engine_errors", severity="warning", rule="release_engine_errors_warned"),
    no_rows("release_filtered", severity="warning", rule="release_filtered_warned"),
    no_rows("release_too_long", severity="warning", rule="release_too_long_warned"),
    no_rows("release_cut_off", severity="warning", rule="release_cut_off_warned"),
    no_rows("release_files"),
    no_rows("release_loads"),
    no_rows("release_loads_in_place", severity="warning"),
]
