-- One row per mix of safe and unsafe answers: cells, cells that could not be filled, and pairs.
SELECT
    mix,
    count(*) AS cells,
    count(*) FILTER (WHERE available < quota) AS unfilled,
    round(sum(quota), 1) AS wanted,
    CAST(sum(available) AS BIGINT) AS available,
    CAST(sum(chosen) AS BIGINT) AS compared
FROM pair_quotas
GROUP BY mix
ORDER BY mix
