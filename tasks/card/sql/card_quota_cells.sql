-- One row per cell that could not be filled, those that lack most first.
SELECT
    mix,
    severity_level AS severity,
    category,
    round(quota, 1) AS wanted,
    available
FROM pair_quotas
WHERE available < quota
ORDER BY quota - available DESC, mix, severity_level ASC, category ASC
LIMIT $most
