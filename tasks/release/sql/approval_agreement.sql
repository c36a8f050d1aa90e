-- One row per question that votes settled: the mean share of votes for what was decided.
SELECT
    'safe or not (answers)' AS question,
    avg(agreement) AS agreement
FROM labels
UNION ALL
SELECT
    'more helpful (pairs)',
    avg(better_agreement)
FROM preferences
UNION ALL
SELECT
    'more harmless (pairs)',
    avg(safer_agreement)
FROM preferences
UNION ALL
SELECT
    'better overall (pairs)',
    avg(overall_agreement)
FROM preferences
