-- One row per question and problem: how many annotations of people there are.
SELECT
    question,
    coalesce(reason, 'valid') AS problem,
    count(*) AS annotations
FROM screened
GROUP BY ALL
ORDER BY ALL
