-- What people said of pairs that counts.
SELECT
    CAST(NULL AS BIGINT) AS rows_in,
    count(*) AS rows_kept
FROM verdicts
WHERE annotator_kind = 'person' AND question <> 'harm'
