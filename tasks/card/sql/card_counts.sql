-- One row per dataset of the release, responder and split: how many rows it has.
WITH located_pairs AS (
    SELECT
        pairs.responder,
        prompts.split
    FROM pairs
    SEMI JOIN preferences USING (pair_id)
    INNER JOIN prompts USING (prompt_id)
),

located_answers AS (
    SELECT
        responses.responder,
        prompts.split
    FROM responses
    SEMI JOIN labels USING (response_id)
    INNER JOIN prompts USING (prompt_id)
),

located AS (
    SELECT
        1 AS position,
        'prompts' AS dataset,
        'all' AS responder,
        split
    FROM prompts
    UNION ALL
    SELECT
        2,
        'qa',
        responder,
        split
    FROM located_answers
    UNION ALL
    SELECT
        3,
        'dual',
        responder,
        split
    FROM located_pairs
    UNION ALL
    SELECT
        4,
        'single',
        responder,
        split
    FROM located_pairs
)

SELECT
    dataset,
    responder,
    count(*) FILTER (WHERE split = 'train') AS train,
    count(*) FILTER (WHERE split = 'test') AS test
FROM located
GROUP BY position, dataset, responder
ORDER BY position, responder
