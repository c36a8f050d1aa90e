-- One row per row that a stage left out; `screened` holds every row of the stage with its reason, if any, and its responder, if
-- it is one's.
WITH looked_at AS (
    SELECT * FROM screened
    UNION ALL BY NAME
    SELECT CAST(NULL AS VARCHAR) AS responder
    WHERE FALSE
)

SELECT
    CAST($table_name AS VARCHAR) AS table_name,
    id,
    CAST($stage AS VARCHAR) AS stage,
    responder,
    reason,
    evidence
FROM looked_at
WHERE reason IS NOT NULL
ORDER BY id
