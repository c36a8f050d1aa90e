-- One row per question: prompts and responders whose preferences were circular, and their pairs.
WITH circular AS (
    SELECT
        resolved.question,
        pairs.prompt_id,
        pairs.responder
    FROM resolved
    INNER JOIN pairs USING (pair_id)
)

SELECT
    question,
    count(DISTINCT row(prompt_id, responder)) AS prompts,
    count(*) AS pairs
FROM circular
GROUP BY question
ORDER BY question
