-- One row per question: how much the votes agreed.
WITH agreements AS (
    SELECT
        1 AS position,
        'safe or not (answers)' AS question,
        agreement
    FROM labels
    UNION ALL
    SELECT
        2,
        'more helpful (pairs)',
        better_agreement
    FROM preferences
    UNION ALL
    SELECT
        3,
        'more harmless (pairs)',
        safer_agreement
    FROM preferences
    UNION ALL
    SELECT
        4,
        'better overall (pairs)',
        overall_agreement
    FROM preferences
)

SELECT
    question,
    count(*) AS rows,
    avg(agreement) AS agreement,
    avg(CAST(agreement = 1 AS INTEGER)) AS unanimous,
    avg(CAST(agreement = 0.5 AS INTEGER)) AS split
FROM agreements
GROUP BY position, question
ORDER BY position
