-- One row per subject, question and model: 1 for unsafe, or for the second answer. An even opinion is left out, and so is
-- one on a pair that was judged in one order only.
WITH by_order AS (
    SELECT
        subject_id,
        question,
        annotator,
        avg(if(question = 'harm', CAST(NOT is_safe AS INTEGER), winner)) AS share_1
    FROM verdicts
    WHERE problem IS NULL AND annotator_kind = 'model'
    GROUP BY subject_id, question, annotator, flipped
)

SELECT
    subject_id,
    question,
    annotator AS worker,
    CAST(avg(share_1) > 0.5 AS BIGINT) AS label
FROM by_order
GROUP BY subject_id, question, annotator
HAVING avg(share_1) <> 0.5 AND (question = 'harm' OR count(*) = 2)
ORDER BY ALL
