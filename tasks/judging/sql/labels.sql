-- One row per labelled answer.
SELECT * EXCLUDE (id, reason, evidence)
FROM screened
WHERE reason IS NULL
ORDER BY response_id
