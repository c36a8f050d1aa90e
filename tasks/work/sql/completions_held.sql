-- One row: how many of the wanted requests the store settles, what it says of them, whatever its blocks and their order, and how
-- many of the others have an excuse: they failed before while others were answered, or are a further attempt.
-- An error counts as long as nothing better is there; how long an answer took is nothing that it says.
WITH told AS (
    SELECT DISTINCT
        wanted.request_id,
        wanted.attempt > 0 AS is_further,
        stored.error IS NULL AS is_answer,
        is_settled(stored.error, stored.input_tokens, wanted.max_tokens, model.positions) AS is_settled,
        completion_hash(
            stored.completion, stored.finish_reason, stored.input_tokens, stored.output_tokens, stored.error, stored.confidence
        ) AS content
    FROM wanted
    INNER JOIN stored USING (request_id)
    CROSS JOIN model
),

requests AS (
    SELECT
        request_id,
        any_value(is_further) AS is_further,
        bool_or(is_answer) AS is_answer,
        bool_or(is_settled) AS is_settled,
        sum(hash(request_id, content)) FILTER (WHERE is_settled) AS settled_content,
        sum(hash(request_id, content)) AS content
    FROM told
    GROUP BY request_id
),

further AS (
    SELECT count(*) AS rows FROM wanted
    WHERE attempt > 0
)

SELECT
    count(*) FILTER (WHERE is_settled) AS rows,
    CAST(coalesce(sum(coalesce(settled_content, content)), 0) AS VARCHAR) AS content,
    (SELECT rows FROM further)
    - count(*) FILTER (WHERE is_settled AND is_further)
    + if(bool_or(is_answer), count(*) FILTER (WHERE NOT is_settled AND NOT is_further), 0) AS excused
FROM requests
