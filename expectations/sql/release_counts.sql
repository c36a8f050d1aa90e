-- For every stage, rows in are rows kept plus rows dropped, as counted in the tables themselves.
WITH left_out AS (
    SELECT
        stage,
        count(*) AS rows_dropped
    FROM dropped
    GROUP BY stage
)

SELECT
    stage,
    stages.rows_in,
    recounted.rows_kept,
    coalesce(left_out.rows_dropped, 0) AS rows_dropped
FROM stages
FULL JOIN recounted USING (stage)
FULL JOIN left_out USING (stage)
WHERE
    stages.rows_in IS DISTINCT FROM recounted.rows_kept + coalesce(left_out.rows_dropped, 0)
    OR stages.rows_in <> recounted.rows_in
    OR stages.rows_kept IS DISTINCT FROM recounted.rows_kept
    OR stages.rows_dropped IS DISTINCT FROM coalesce(left_out.rows_dropped, 0)
