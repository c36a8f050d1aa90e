-- One row per source of prompts: how many of its rows are kept, and why others are not. Where prompts come from one file, the
-- rows that it lost have no source, since nobody says it for them.
WITH prompts AS (
    SELECT * FROM prompts
),

dropped AS (
    SELECT * FROM dropped
),

left_out AS (
    SELECT
        nullif(regexp_extract(id, '^(.*) row [0-9]+$', 1), '') AS source,
        reason,
        count(*) AS number
    FROM dropped
    WHERE table_name = 'prompts'
    GROUP BY ALL
),

reasons AS (
    SELECT
        source,
        sum(number) AS number,
        string_agg(number || ' ' || reason, ', ' ORDER BY number DESC, reason ASC) AS why
    FROM left_out
    GROUP BY source
),

kept AS (
    SELECT
        prompt_source AS source,
        count(*) AS number
    FROM prompts
    GROUP BY prompt_source
)

SELECT
    source,
    CAST(coalesce(kept.number, 0) AS BIGINT) AS kept,
    CAST(coalesce(reasons.number, 0) AS BIGINT) AS left_out,
    reasons.why
FROM kept
FULL JOIN reasons USING (source)
ORDER BY source IS NULL ASC, kept DESC, source ASC
