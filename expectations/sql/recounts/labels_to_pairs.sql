-- Labelled answers of a responder stand in a dataset, those in no pair among what was dropped.
SELECT
    count(*) AS rows_in,
    count(*) - (
        SELECT count(*) FROM dropped
        WHERE stage = 'labels_to_pairs'
    ) AS rows_kept
FROM qa
