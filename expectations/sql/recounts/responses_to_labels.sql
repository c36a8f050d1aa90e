-- Distinct answers came in, and each label is one of them.
SELECT
    (SELECT count(DISTINCT response_id) FROM responses) AS rows_in,
    count(*) AS rows_kept
FROM labels
