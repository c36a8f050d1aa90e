-- One row per pair: the cell that it counts for, and its place there. A cell is a mix of safe and unsafe answers, the worse
-- severity, and the rarest harm category of the two; pairs of safe answers have one cell. The place is drawn by hash.
WITH pairs AS (
    SELECT * FROM pairs
),

named AS (
    SELECT
        response_id,
        unnest(map_entries(CAST(CAST(harm_category AS JSON) AS MAP (VARCHAR, BOOLEAN)))) AS entry
    FROM labels
    WHERE NOT is_safe
),

categories AS (
    SELECT
        response_id,
        entry.key AS category,
        count(*) OVER (PARTITION BY entry.key) AS answers
    FROM named
    WHERE entry.value
),

sides AS (
    SELECT
        pair_id,
        unnest([response_0_id, response_1_id]) AS response_id
    FROM pairs
),

rarest AS (
    SELECT
        sides.pair_id,
        arg_min(categories.category, (categories.answers, categories.category)) AS category
    FROM sides
    INNER JOIN categories USING (response_id)
    GROUP BY sides.pair_id
),

mixed AS (
    SELECT
        pairs.pair_id,
        CASE
            WHEN pairs.severity_0 = 0 AND pairs.severity_1 = 0 THEN 'both safe'
            WHEN pairs.severity_0 > 0 AND pairs.severity_1 > 0 THEN 'both unsafe'
            ELSE 'exactly one safe'
        END AS mix,
        CAST(greatest(pairs.severity_0, pairs.severity_1) AS BIGINT) AS severity_level,
        coalesce(rarest.category, '') AS category
    FROM pairs
    LEFT JOIN rarest USING (pair_id)
)

SELECT
    pair_id,
    mix,
    severity_level,
    category,
    row_number() OVER (PARTITION BY mix, severity_level, category ORDER BY sha256(concat_ws(' ', $seed, pair_id))) AS place
FROM mixed
ORDER BY pair_id
