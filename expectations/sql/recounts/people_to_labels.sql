-- What people said of answers that counts.
SELECT
    CAST(NULL AS BIGINT) AS rows_in,
    count(*) AS rows_kept
FROM verdicts
WHERE annotator_kind = 'person' AND question = 'harm'
