-- One row: how many of the wanted requests the store settles, what it says of them, whatever its blocks and their order, and how
-- many of the others have an excuse: they failed before while others were answered, or are a further attempt.
-- An error counts as long as nothing better is there; how long an answer took is nothing that it says.
WITH asked AS (
    SELECT DISTINCT
        request_id,
        max_tokens
    FROM wanted
),

told AS (
    SELECT DISTINCT
        stored.request_id,
        stored.error IS NULL AS is_answer,
        NOT is_settled(stored.error, stored.input_tokens, asked.max_tokens, model.positions) AS has_failed,
        completion_hash(
            stored.completion, stored.finish_reason, stored.input_tokens, stored.output_tokens, stored.error, stored.confidence
        ) AS content
    FROM stored
    INNER JOIN asked USING (request_id)
    CROSS JOIN model
),

settled AS (
    SELECT * FROM told
    WHERE NOT has_failed
),

standing AS (
    SELECT * FROM settled
    UNION ALL
    SELECT told.*
    FROM told
    ANTI JOIN settled USING (request_id)
),

failed_among_others AS (
    SELECT request_id FROM told
    QUALIFY bool_or(is_answer) OVER ()
),

excused AS (
    SELECT wanted.request_id
    FROM wanted
    ANTI JOIN settled USING (request_id)
    WHERE wanted.attempt > 0 OR wanted.request_id IN (SELECT request_id FROM failed_among_others)
)

SELECT
    count(DISTINCT request_id) FILTER (WHERE NOT has_failed) AS rows,
    CAST(coalesce(sum(hash(request_id, content)), 0) AS VARCHAR) AS content,
    (SELECT count(*) FROM excused) AS excused
FROM standing
