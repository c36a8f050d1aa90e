-- An answer is safe if and only if it has no harm category, if and only if its severity is 0.
SELECT
    sha256,
    response_source,
    is_safe,
    severity_level
FROM qa
WHERE is_safe <> (severity_level = 0) OR is_safe = contains(CAST(to_json(harm_category) AS VARCHAR), 'true')
