-- One row per answer or pair that people are asked about, the most useful first. A share of the answers is an audit: the
-- first of all labelled answers in an order drawn by hash, whatever models said of them. The others are those where
-- annotators disagree, then those with a low confidence, then rare categories and severe answers, then the rest; what
-- people have judged already is not asked again. Pairs: the least agreement first.
WITH preferences AS (
    SELECT * FROM preferences
),

named AS (
    SELECT
        response_id,
        unnest(map_entries(CAST(CAST(harm_category AS JSON) AS MAP (VARCHAR, BOOLEAN)))) AS entry
    FROM labels
    WHERE NOT is_safe
),

frequencies AS (
    SELECT
        response_id,
        count(
            *) OVER (PARTITION BY entry.key) / (
            SELECT count(*) FROM labels
            WHERE NOT is_safe
        ) AS frequency
    FROM named
    WHERE entry.value
),

rarest AS (
    SELECT
        response_id,
        min(frequency) AS frequency
    FROM frequencies
    GROUP BY response_id
),

drawn AS (
    SELECT
        labels.*,
        coalesce(rarest.frequency, 1) AS frequency,
        row_number() OVER (ORDER BY sha256(concat_ws(' ', 'audit', $seed, labels.response_id))) <= floor($answers * $audit_share) AS audit
    FROM labels
    LEFT JOIN rarest USING (response_id)
),

sorted AS (
    SELECT
        *,
        CASE
            WHEN agreement < 1 THEN 'disagreement'
            WHEN confidence < $low_confidence THEN 'low confidence'
            WHEN severity_level = 3 OR frequency < $rare THEN 'rare or severe'
            ELSE 'rest'
        END AS reason
    FROM drawn
    WHERE NOT by_people
),

-- Within a reason the least sure first; rare and severe answers by severity and rarity.
ranked AS (
    SELECT
        *,
        row_number() OVER (
            ORDER BY
                NOT audit,
                CASE reason WHEN 'disagreement' THEN 1 WHEN 'low confidence' THEN 2 WHEN 'rare or severe' THEN 3 ELSE 4 END,
                if(reason = 'rare or severe', 0, confidence),
                severity_level DESC,
                frequency ASC,
                response_id ASC
        ) AS place
    FROM sorted
),

pair_places AS (
    SELECT
        pair_id,
        row_number() OVER (
            ORDER BY
                least(better_agreement, safer_agreement, overall_agreement), better_agreement + safer_agreement + overall_agreement, pair_id
        ) AS place
    FROM preferences
    WHERE NOT by_people
)

SELECT
    response_id AS subject_id,
    'answer' AS subject,
    CAST(place AS BIGINT) AS place,
    if(audit, 'audit', reason) AS reason,
    audit
FROM ranked
WHERE place <= $answers
UNION ALL
SELECT
    pair_id,
    'pair',
    CAST(place AS BIGINT),
    'disagreement',
    FALSE
FROM pair_places
WHERE place <= $pairs
ORDER BY subject, place
