-- One row per judgement of a person that counts.
SELECT * EXCLUDE (id, reason, evidence)
FROM screened
WHERE reason IS NULL
ORDER BY subject_id, question, annotator
