-- One row: how many of the wanted requests the store answers, and what it says of them, whatever its blocks and their order.
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
)

SELECT
    count(DISTINCT request_id) FILTER (WHERE NOT has_failed) AS rows,
    CAST(coalesce(sum(hash(request_id, content)), 0) AS VARCHAR) AS content
FROM standing
