-- One row per judgement, of all judges and attempts.
SELECT *
FROM verdicts
ORDER BY subject_id, question, flipped, annotator, rubric, vote, attempt
