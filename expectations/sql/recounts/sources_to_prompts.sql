-- Prompts that were kept stand in a dataset and in a table for analysts, a count of each.
SELECT
    CAST(NULL AS BIGINT) AS rows_in,
    count(*) AS rows_kept
FROM prompts
UNION ALL
SELECT
    CAST(NULL AS BIGINT),
    count(*)
FROM annotated_prompts
