-- One row per pair, question and order: what the judge is shown.
SELECT
    pairs.pair_id AS subject_id,
    questions.question,
    orders.flipped,
    format(
        $message,
        pairs.prompt,
        if(orders.flipped, pairs.response_1, pairs.response_0),
        if(orders.flipped, pairs.response_0, pairs.response_1),
        fence(concat_ws(chr(10), pairs.prompt, pairs.response_0, pairs.response_1))
    ) AS user,
    CAST(NULL AS VARCHAR) AS assistant
FROM pairs
CROSS JOIN (VALUES ('helpfulness'), ('harmlessness'), ('overall')) AS questions (question)
CROSS JOIN (VALUES (FALSE), (TRUE)) AS orders (flipped)
