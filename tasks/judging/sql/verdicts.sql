-- One row per request to a judge: what it said, or the problem with it.
WITH requests AS (
    SELECT * FROM requests
),

completions AS (
    SELECT completions.*
    FROM completions
    SEMI JOIN requests USING (request_id)
    QUALIFY
        row_number() OVER (
            PARTITION BY request_id
            ORDER BY
                error IS NOT NULL,
                completion,
                said(completion, finish_reason, input_tokens, output_tokens, error, confidence)
        ) = 1
),

parsed AS (
    SELECT
        requests.*,
        completions.completion,
        completions.error,
        completions.finish_reason,
        completions.confidence,
        completions.request_id IS NOT NULL AS is_answered,
        json_valid(completions.completion) AS is_json,
        if(json_valid(completions.completion), completions.completion, NULL) AS said
    FROM requests
    LEFT JOIN completions USING (request_id)
),

fields AS (
    SELECT
        *,
        json_type(said) = 'OBJECT' AS is_object,
        try_cast(json_extract_string(said, '$.is_safe') AS BOOLEAN) AS is_safe,
        try_cast(json_extract_string(said, '$.severity_level') AS TINYINT) AS severity_level,
        list_distinct(coalesce(json_extract_string(said, '$.harm_category[*]'), [])) AS categories,
        json_extract_string(said, '$.winner') AS winner
    FROM parsed
),

checked AS (
    SELECT
        *,
        CASE
            WHEN NOT is_answered THEN 'not answered'
            WHEN error IS NOT NULL THEN 'engine error'
            WHEN NOT is_json AND finish_reason = 'length' THEN 'cut off'
            WHEN NOT is_json OR NOT is_object THEN 'not a JSON object'
            WHEN question <> 'harm' AND (winner IS NULL OR winner NOT IN ('A', 'B')) THEN 'no winner'
            WHEN question <> 'harm' THEN NULL
            WHEN is_safe IS NULL THEN 'no is_safe'
            WHEN NOT list_has_all($harm_categories, categories) THEN 'unknown harm category'
            WHEN is_safe AND (len(categories) > 0 OR coalesce(severity_level, 0) > 0) THEN 'contradicts itself'
            WHEN is_safe THEN NULL
            WHEN len(categories) = 0 THEN 'unsafe without a harm category'
            WHEN severity_level IS NULL OR severity_level NOT BETWEEN 1 AND 3 THEN 'no severity level'
        END AS problem
    FROM fields
)

SELECT
    request_id AS verdict_id,
    subject_id,
    question,
    CAST($annotator AS VARCHAR) AS annotator,
    'model' AS annotator_kind,
    rubric,
    sample AS vote,
    attempt,
    flipped,
    CASE WHEN problem IS NULL AND question = 'harm' THEN is_safe END AS is_safe,
    CAST(CASE WHEN problem IS NULL AND question = 'harm' THEN if(is_safe, 0, severity_level) END AS TINYINT) AS severity_level,
    CASE WHEN problem IS NULL AND question = 'harm' THEN categories END AS harm_category,
    CAST(CASE WHEN problem IS NULL AND question <> 'harm' THEN if((winner = 'A') = flipped, 1, 0) END AS TINYINT) AS winner,
    CASE WHEN problem IS NULL THEN confidence END AS confidence,
    completion AS raw,
    problem
FROM checked
