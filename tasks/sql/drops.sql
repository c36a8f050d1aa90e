-- One row per stage and reason: how many rows were left out.
SELECT
    stage,
    table_name,
    reason,
    count(*) AS rows
FROM dropped
GROUP BY ALL
ORDER BY ALL
