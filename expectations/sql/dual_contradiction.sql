-- An answer is safe if and only if it has no harm category, if and only if its severity is 0.
SELECT
    response_0_sha256,
    response_1_sha256
FROM dual
WHERE
    is_response_0_safe <> (response_0_severity_level = 0)
    OR is_response_1_safe <> (response_1_severity_level = 0)
    OR is_response_0_safe = contains(CAST(to_json(response_0_harm_category) AS VARCHAR), 'true')
    OR is_response_1_safe = contains(CAST(to_json(response_1_harm_category) AS VARCHAR), 'true')
