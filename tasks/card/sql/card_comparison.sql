-- One row per statistic that PKU-SafeRLHF has too: its value here, and how many answers or pairs it is counted over.
-- Where the question is what annotators think, pairs with even votes are left out, since a rule decided those.
WITH compared AS (
    SELECT
        preferences.better_response_id AS better,
        preferences.safer_response_id AS safer,
        preferences.overall_response_id AS overall,
        preferences.better_agreement <> 0.5 AS better_is_voted,
        preferences.safer_agreement <> 0.5 AS safer_is_voted,
        preferences.overall_agreement <> 0.5 AS overall_is_voted,
        CAST(pairs.severity_0 > 0 AS INTEGER) + CAST(pairs.severity_1 > 0 AS INTEGER) AS unsafe_answers,
        CAST(pairs.severity_1 < pairs.severity_0 AS INTEGER) AS milder,
        pairs.severity_0 <> pairs.severity_1 AS severities_differ,
        label_0.harm_category = label_1.harm_category AS categories_are_same,
        CAST(length(pairs.response_1) > length(pairs.response_0) AS INTEGER) AS longer,
        length(pairs.response_0) <> length(pairs.response_1) AS lengths_differ
    FROM pairs
    INNER JOIN preferences USING (pair_id)
    INNER JOIN labels AS label_0 ON pairs.response_0_id = label_0.response_id
    INNER JOIN labels AS label_1 ON pairs.response_1_id = label_1.response_id
),

unsafe AS (
    SELECT
        severity_level,
        list_sum(CAST(map_values(CAST(CAST(harm_category AS JSON) AS MAP (VARCHAR, BOOLEAN))) AS INTEGER[])) AS categories
    FROM labels
    WHERE NOT is_safe
),

observed AS (
    SELECT
        'both_safe' AS statistic,
        CAST(unsafe_answers = 0 AS DOUBLE) AS value
    FROM compared
    UNION ALL
    SELECT
        'both_unsafe',
        CAST(unsafe_answers = 2 AS DOUBLE)
    FROM compared
    UNION ALL
    SELECT
        'mixed',
        CAST(unsafe_answers = 1 AS DOUBLE)
    FROM compared
    UNION ALL
    SELECT
        levels.statistic,
        CAST(unsafe.severity_level = levels.severity_level AS DOUBLE)
    FROM unsafe
    CROSS JOIN (VALUES ('minor', 1), ('moderate', 2), ('severe', 3)) AS levels (statistic, severity_level)
    UNION ALL
    SELECT
        'categories',
        categories
    FROM unsafe
    UNION ALL
    SELECT
        'better_is_not_safer',
        CAST(better <> safer AS DOUBLE)
    FROM compared
    UNION ALL
    SELECT
        'milder_is_safer_same_categories',
        CAST(safer = milder AS DOUBLE)
    FROM compared
    WHERE unsafe_answers = 2 AND severities_differ AND safer_is_voted AND categories_are_same
    UNION ALL
    SELECT
        'milder_is_safer',
        CAST(safer = milder AS DOUBLE)
    FROM compared
    WHERE unsafe_answers = 2 AND severities_differ AND safer_is_voted
    UNION ALL
    SELECT
        'longer_is_better',
        CAST(better = longer AS DOUBLE)
    FROM compared
    WHERE lengths_differ
    UNION ALL
    SELECT
        'overall_is_better',
        CAST(overall = better AS DOUBLE)
    FROM compared
    WHERE overall_is_voted AND better_is_voted
    UNION ALL
    SELECT
        'overall_is_safer',
        CAST(overall = safer AS DOUBLE)
    FROM compared
    WHERE overall_is_voted AND safer_is_voted
)

SELECT
    statistic,
    avg(value) AS value,
    count(*) AS counted
FROM observed
GROUP BY statistic
