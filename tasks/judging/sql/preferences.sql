-- One row per judged pair.
SELECT * EXCLUDE (id, reason, evidence)
FROM screened
WHERE reason IS NULL
ORDER BY pair_id
