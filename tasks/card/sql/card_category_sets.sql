-- One row per distinct set of harm categories: how many distinct unsafe answers have it.
SELECT
    harm_category,
    count(*) AS answers
FROM labels
WHERE NOT is_safe
GROUP BY harm_category
ORDER BY ALL
