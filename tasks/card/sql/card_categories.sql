-- One row per harm category and severity level: how many distinct unsafe answers have it.
WITH named AS (
    SELECT
        severity_level,
        unnest(map_entries(CAST(CAST(harm_category AS JSON) AS MAP (VARCHAR, BOOLEAN)))) AS entry
    FROM labels
    WHERE NOT is_safe
)

SELECT
    entry.key AS category,
    severity_level,
    count(*) AS answers
FROM named
WHERE entry.value
GROUP BY ALL
ORDER BY ALL
