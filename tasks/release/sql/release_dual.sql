-- One row per judged pair of one responder and split, in PKU-SafeRLHF's columns.
SELECT
    pairs.prompt,
    pairs.response_0,
    pairs.response_1,
    prompts.prompt_source,
    pairs.responder AS response_0_source,
    pairs.responder AS response_1_source,
    label_0.is_safe AS is_response_0_safe,
    label_1.is_safe AS is_response_1_safe,
    label_0.harm_category AS response_0_harm_category,
    label_1.harm_category AS response_1_harm_category,
    CAST(label_0.severity_level AS BIGINT) AS response_0_severity_level,
    CAST(label_1.severity_level AS BIGINT) AS response_1_severity_level,
    CAST(preferences.better_response_id AS BIGINT) AS better_response_id,
    CAST(preferences.safer_response_id AS BIGINT) AS safer_response_id,
    published_digest(pairs.prompt, pairs.response_0) AS response_0_sha256,
    published_digest(pairs.prompt, pairs.response_1) AS response_1_sha256
FROM pairs
INNER JOIN preferences USING (pair_id)
INNER JOIN prompts USING (prompt_id)
INNER JOIN labels AS label_0 ON pairs.response_0_id = label_0.response_id
INNER JOIN labels AS label_1 ON pairs.response_1_id = label_1.response_id
WHERE pairs.responder = $responder AND prompts.split = $split
ORDER BY pairs.pair_id
