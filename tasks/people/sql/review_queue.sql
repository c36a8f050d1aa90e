-- One row per answer or pair that people are asked about, the most useful first. A share of the answers is an audit: the
-- first of all that models labelled in an order drawn by hash, whatever they said of them, and in that order. The others
-- are those on which annotators disagree, then those without a label, then those with a low confidence, then rare
-- categories and severe answers, then the rest; what people have judged already is not asked again. Pairs: the least
-- agreement first; one without preferences counts as even. All tables hold what is left out too, with its reason.
WITH named AS (
    SELECT
        response_id,
        unnest(map_entries(CAST(CAST(harm_category AS JSON) AS MAP (VARCHAR, BOOLEAN)))) AS entry
    FROM labels
    WHERE NOT is_safe AND reason IS NULL
),

frequencies AS (
    SELECT
        response_id,
        count(
            *) OVER (PARTITION BY entry.key) / (
            SELECT count(*) FROM labels
            WHERE NOT is_safe AND reason IS NULL
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
        response_id,
        audit_draw($seed, response_id) AS drawn
    FROM model_labels
    WHERE reason IS NULL
    QUALIFY row_number() OVER (ORDER BY drawn) <= round($answers * $audit_share)
),

sorted AS (
    SELECT
        labels.* EXCLUDE (reason),
        drawn.drawn,
        coalesce(rarest.frequency, 1) AS frequency,
        CASE
            WHEN drawn.drawn IS NOT NULL THEN 'audit'
            WHEN labels.agreement < 1 THEN 'disagreement'
            WHEN labels.reason IS NOT NULL THEN 'no label'
            WHEN labels.confidence < $low_confidence THEN 'low confidence'
            WHEN labels.severity_level = 3 OR rarest.frequency < $rare THEN 'rare or severe'
            ELSE 'rest'
        END AS reason
    FROM labels
    LEFT JOIN rarest USING (response_id)
    LEFT JOIN drawn USING (response_id)
    WHERE NOT coalesce(labels.by_people, FALSE)
),

-- Within a reason the least sure first; rare and severe answers by severity and rarity.
ranked AS (
    SELECT
        response_id,
        reason,
        row_number() OVER (
            ORDER BY
                list_position(['audit', 'disagreement', 'no label', 'low confidence', 'rare or severe', 'rest'], reason) ASC,
                drawn ASC,
                if(reason = 'rare or severe', 0, confidence) ASC,
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
                if(reason IS NULL, least(better_agreement, safer_agreement, overall_agreement), 0.5),
                if(reason IS NULL, better_agreement + safer_agreement + overall_agreement, 1.5),
                pair_id
        ) AS place
    FROM preferences
    WHERE NOT coalesce(by_people, FALSE)
)

SELECT
    response_id AS subject_id,
    'answer' AS subject,
    CAST(place AS BIGINT) AS place,
    reason
FROM ranked
WHERE place <= $answers
UNION ALL
SELECT
    pair_id,
    'pair',
    CAST(place AS BIGINT),
    'disagreement'
FROM pair_places
WHERE place <= $pairs
ORDER BY subject, place
