-- One row: how many of the wanted requests the store answers, what it says of them, whatever its blocks and their order, and
-- how many of those without an answer have an excuse: they failed before while others did not, or are a further attempt.
-- An error counts as long as nothing better is there; how long an answer took is nothing that it says.
WITH told AS (
    SELECT DISTINCT
        request_id,
        error IS NOT NULL AS has_failed,
        said(completion, finish_reason, input_tokens, output_tokens, error, confidence) AS content
    FROM stored
    SEMI JOIN wanted USING (request_id)
),

answered AS (
    SELECT * FROM told
    WHERE NOT has_failed
),

standing AS (
    SELECT * FROM answered
    UNION ALL
    SELECT told.*
    FROM told
    ANTI JOIN answered USING (request_id)
),

failed_among_others AS (
    SELECT request_id FROM told
    QUALIFY bool_or(NOT has_failed) OVER ()
),

excused AS (
    SELECT wanted.request_id
    FROM wanted
    ANTI JOIN answered USING (request_id)
    WHERE wanted.attempt > 0 OR wanted.request_id IN (SELECT request_id FROM failed_among_others)
)

SELECT
    count(DISTINCT request_id) FILTER (WHERE NOT has_failed) AS rows,
    CAST(coalesce(sum(hash(request_id, content)), 0) AS VARCHAR) AS content,
    (SELECT count(*) FROM excused) AS excused
FROM standing
