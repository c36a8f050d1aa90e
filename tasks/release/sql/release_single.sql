-- One row per judged pair of one responder and split with its overall preference, in PKU-SafeRLHF's columns.
SELECT
    pairs.prompt,
    pairs.response_0,
    pairs.response_1,
    prompts.prompt_source,
    pairs.responder AS response_0_source,
    pairs.responder AS response_1_source,
    CAST(preferences.overall_response_id AS BIGINT) AS better_response_id,
    published_digest(pairs.prompt, pairs.response_0) AS response_0_sha256,
    published_digest(pairs.prompt, pairs.response_1) AS response_1_sha256
FROM pairs
INNER JOIN preferences USING (pair_id)
INNER JOIN prompts USING (prompt_id)
WHERE pairs.responder = $responder AND prompts.split = $split
ORDER BY pairs.pair_id
