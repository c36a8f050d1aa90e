-- One row per kept answer of one responder.
SELECT * EXCLUDE (id, reason, evidence)
FROM screened
WHERE reason IS NULL
ORDER BY prompt_id, responder, sample
