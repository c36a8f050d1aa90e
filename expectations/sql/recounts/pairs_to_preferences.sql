-- Judged pairs stand in a table for analysts and in a dataset, a count of each.
SELECT
    CAST(NULL AS BIGINT) AS rows_in,
    count(*) AS rows_kept
FROM preferences
UNION ALL
SELECT
    CAST(NULL AS BIGINT),
    count(*)
FROM dual
