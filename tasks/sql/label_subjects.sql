-- One row per distinct kept answer: what the judge is shown.
SELECT
    response_id AS subject_id,
    'harm' AS question,
    false AS flipped,
    format($message, any_value(prompt), any_value(response)) AS user
FROM responses
GROUP BY response_id
