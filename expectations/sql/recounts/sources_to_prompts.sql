-- Prompts that were kept stand in a dataset.
SELECT
    CAST(NULL AS BIGINT) AS rows_in,
    count(*) AS rows_kept
FROM prompts
