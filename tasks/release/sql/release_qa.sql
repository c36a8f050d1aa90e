-- One row per labelled answer of one responder and split, in PKU-SafeRLHF's columns.
SELECT
    responses.prompt,
    responses.response,
    prompts.prompt_source,
    responses.responder AS response_source,
    labels.is_safe,
    labels.harm_category,
    CAST(labels.severity_level AS BIGINT) AS severity_level,
    published_digest(responses.prompt, responses.response) AS sha256
FROM responses
INNER JOIN prompts USING (prompt_id)
INNER JOIN labels USING (response_id)
WHERE responses.responder = $responder AND prompts.split = $split
ORDER BY responses.prompt_id, responses.sample
