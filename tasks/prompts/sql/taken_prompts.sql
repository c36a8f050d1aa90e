-- One row per row of `screened`, with the reason why it is left out, if any: also since its source gives no more.
--
-- `$limits` are the names of the sources, and the count or the share of each, if it has one. Sources without a share give all that
-- they have, up to their count; the total is what makes the others' shares right beside them, or, where all have one, the largest
-- that every source has enough for. What a source gives is drawn by a hash, which another prompt or release does not change.
WITH looked_at AS (
    SELECT
        *,
        row_number() OVER () AS position
    FROM screened
),

limits AS (
    SELECT unnest($limits, recursive := TRUE)
),

sizes AS (
    SELECT
        limits.name,
        limits.share,
        least(count(looked_at.prompt_id), any_value(limits.count)) AS size
    FROM limits
    LEFT JOIN looked_at ON limits.name = looked_at.prompt_source AND looked_at.reason IS NULL
    GROUP BY ALL
),

totals AS (
    SELECT
        if(
            bool_and(share IS NOT NULL),
            min(size / share),
            coalesce(sum(size) FILTER (WHERE share IS NULL), 0) / (1 - coalesce(sum(share), 0))
        ) AS total
    FROM sizes
),

numbers AS (
    SELECT
        sizes.name,
        CAST(if(sizes.share IS NULL, sizes.size, least(sizes.size, round(sizes.share * totals.total))) AS BIGINT) AS taken
    FROM sizes
    CROSS JOIN totals
),

drawn AS (
    SELECT
        looked_at.id,
        row_number() OVER (
            PARTITION BY looked_at.prompt_source
            ORDER BY hashed_integer('source ' || looked_at.prompt_id), looked_at.prompt_id
        ) > numbers.taken AS is_over,
        numbers.taken
    FROM looked_at
    INNER JOIN numbers ON looked_at.prompt_source = numbers.name
    WHERE looked_at.reason IS NULL
)

SELECT
    looked_at.* EXCLUDE (position) REPLACE (
        coalesce(looked_at.reason, if(drawn.is_over, 'more than asked for', NULL)) AS reason,
        if(drawn.is_over, concat_ws(', ', looked_at.evidence, drawn.taken || ' are taken'), looked_at.evidence) AS evidence
    )
FROM looked_at
LEFT JOIN drawn USING (id)
ORDER BY looked_at.position
