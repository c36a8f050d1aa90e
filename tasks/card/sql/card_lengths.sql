-- One row per length bin and safety: how many distinct answers fall there. Twenty bins up to the longest answer.
WITH answers AS (
    SELECT DISTINCT ON (responses.response_id)
        labels.is_safe,
        length(responses.response) AS chars,
        greatest(CAST(ceil((max(length(responses.response)) OVER () + 1) / 20) AS BIGINT), 1) AS bin_width
    FROM responses
    INNER JOIN labels USING (response_id)
)

SELECT
    is_safe,
    bin_width,
    chars // bin_width * bin_width AS chars,
    count(*) AS rows
FROM answers
GROUP BY ALL
ORDER BY ALL
