-- One row per severity level: how many distinct answers have it.
SELECT
    levels.severity_level || ' ' || levels.name AS name,
    count(labels.response_id) AS rows
FROM (VALUES (0, 'safe'), (1, 'minor'), (2, 'moderate'), (3, 'severe')) AS levels (severity_level, name)
LEFT JOIN labels USING (severity_level)
GROUP BY ALL
ORDER BY ALL
