-- One row per cell: how many pairs it was to have, has and gets. All cells of a mix share its part of the budget evenly;
-- what a cell cannot fill goes to the others, in proportion, and every cell gets its first pair before any its share.
WITH cells AS (
    SELECT
        'both safe' AS mix,
        CAST(0 AS BIGINT) AS severity_level,
        '' AS category,
        $budget * $both_safe / ($both_safe + $both_unsafe + $mixed) AS quota
    UNION ALL
    SELECT
        mixes.mix,
        CAST(levels.severity_level AS BIGINT),
        names.category,
        $budget * mixes.share / ($both_safe + $both_unsafe + $mixed) / (3 * len($harm_categories))
    FROM (VALUES ('both unsafe', $both_unsafe), ('exactly one safe', $mixed)) AS mixes (mix, share)
    CROSS JOIN range(1, 4) AS levels (severity_level)
    CROSS JOIN (SELECT unnest($harm_categories)) AS names (category)
),

placed AS (
    SELECT
        quota_cells.*,
        row_number() OVER (ORDER BY (quota_cells.place - 1) / nullif(cells.quota, 0) NULLS LAST, quota_cells.pair_id)
        <= $budget AS is_chosen
    FROM quota_cells
    INNER JOIN cells USING (mix, severity_level, category)
)

SELECT
    cells.mix,
    cells.severity_level,
    cells.category,
    CAST(cells.quota AS DOUBLE) AS quota,
    count(placed.pair_id) AS available,
    count(*) FILTER (WHERE placed.is_chosen) AS chosen
FROM cells
LEFT JOIN placed USING (mix, severity_level, category)
GROUP BY ALL
ORDER BY ALL
