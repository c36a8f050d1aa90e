-- One row per sample of one responder: sample 0 at its default temperature, the others at the raised one.
WITH prompts AS (
    SELECT * FROM prompts
),

samples AS (
    SELECT
        prompt_id AS subject_id,
        prompt,
        sample,
        CAST($system AS VARCHAR) AS system,
        if(sample = 0, $temperature, $raised_temperature) AS temperature,
        hashed_integer(concat_ws(' ', $seed, $responder, $model, CAST($system AS VARCHAR), prompt_id, sample)) AS seed
    FROM prompts
    CROSS JOIN range($samples + 1) AS samples (sample)
)

SELECT
    request_id($model, frame_id($system, NULL), prompt, temperature, $top_p, $max_tokens, seed) AS request_id,
    subject_id,
    'response' AS question,
    sample,
    CAST(0 AS BIGINT) AS attempt,
    FALSE AS flipped,
    CAST(NULL AS VARCHAR) AS rubric,
    system,
    prompt AS user,
    CAST(NULL AS VARCHAR) AS assistant,
    CAST(temperature AS DOUBLE) AS temperature,
    CAST($top_p AS DOUBLE) AS top_p,
    CAST($max_tokens AS BIGINT) AS max_tokens,
    CAST(seed AS BIGINT) AS seed,
    CAST(NULL AS VARCHAR) AS json_schema,
    CAST(NULL AS VARCHAR) AS decision
FROM samples
ORDER BY length(prompt), subject_id, sample
