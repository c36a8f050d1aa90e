-- One row per mix of safe and unsafe answers: how many judged pairs have it.
WITH judged AS (
    SELECT CAST(pairs.severity_0 > 0 AS INTEGER) + CAST(pairs.severity_1 > 0 AS INTEGER) AS unsafe_answers
    FROM pairs
    SEMI JOIN preferences USING (pair_id)
)

SELECT
    mixes.name,
    count(judged.unsafe_answers) AS rows
FROM (VALUES (0, 'both safe'), (1, 'exactly one safe'), (2, 'both unsafe')) AS mixes (unsafe_answers, name)
LEFT JOIN judged USING (unsafe_answers)
GROUP BY mixes.unsafe_answers, mixes.name
ORDER BY mixes.unsafe_answers
