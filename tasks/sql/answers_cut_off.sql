-- One row per responder of whose answers some were cut off because they were long enough, or were left out because their thinking did
-- not end; the share is that of answers kept or left out as unfinished thinking. Card and gate count by it.
WITH answers AS (
    SELECT
        responder,
        is_cut(finish_reason) AS is_cut,
        FALSE AS is_unfinished
    FROM responses
    UNION ALL
    SELECT
        responder,
        FALSE,
        TRUE
    FROM dropped
    WHERE reason = 'unfinished thinking'
)

SELECT
    responder,
    count(*) AS answers,
    count(*) FILTER (WHERE is_cut) AS cut_off,
    count(*) FILTER (WHERE is_unfinished) AS unfinished_thinking,
    (cut_off + unfinished_thinking) / count(*) AS share
FROM answers
GROUP BY responder
HAVING share > 0
ORDER BY share DESC, responder ASC
