-- One row per pair that the person who approves a release is shown. Hashes of answers are as good as a draw.
SELECT
    prompt,
    response_0,
    response_1,
    response_0_severity_level AS severity_0,
    response_1_severity_level AS severity_1,
    better_response_id AS better,
    safer_response_id AS safer
FROM dual
ORDER BY response_0_sha256, response_1_sha256
LIMIT $samples
