-- One row per row that a stage left out; `screened` holds every row of the stage with its reason, if any.
SELECT
    CAST($table_name AS VARCHAR) AS table_name,
    id,
    CAST($stage AS VARCHAR) AS stage,
    reason,
    evidence
FROM screened
WHERE reason IS NOT NULL
ORDER BY id
