-- One row per request to a safety classifier: what it said, mapped onto the 19 categories, or the problem with it.
-- A classifier gives no severity, and some give no category.
WITH requests AS (
    SELECT * FROM requests
),

completions AS (
    SELECT completions.*
    FROM completions
    SEMI JOIN requests USING (request_id)
    QUALIFY is_taken(request_id, completion, finish_reason, input_tokens, output_tokens, error, confidence)
),

answered AS (
    SELECT
        requests.*,
        completions.completion,
        completions.error,
        completions.finish_reason,
        completions.confidence,
        completions.request_id IS NOT NULL AS is_answered,
        is_filtered(completions.finish_reason) AS is_filtered,
        spoken(completions.completion) AS spoken
    FROM requests
    LEFT JOIN completions USING (request_id)
),

-- Where a format has codes, all that stands beside the decision is one.
read AS (
    SELECT
        *,
        list_distinct(regexp_extract_all(lower(spoken), $decision, 1)) AS decisions,
        decisions[1] AS decision_word,
        if(
            EXISTS (FROM mapping),
            list_distinct(regexp_extract_all(upper(regexp_replace(spoken, $decision, '')), '[^\s,;:.]+')),
            []
        ) AS codes
    FROM answered
),

mapped AS (
    SELECT
        named.request_id,
        bool_or(mapping.harm_category IS NULL) AS has_unknown,
        list(DISTINCT mapping.harm_category ORDER BY mapping.harm_category) AS categories
    FROM (SELECT
        request_id,
        unnest(codes) AS code
    FROM read) AS named
    LEFT JOIN mapping USING (code)
    GROUP BY named.request_id
),

checked AS (
    SELECT
        read.*,
        read.decision_word IN ('safe', 'no') AS is_safe,
        coalesce(mapped.categories, []) AS categories,
        CASE
            WHEN NOT read.is_answered THEN 'not answered'
            WHEN is_too_long(read.error) THEN 'too long'
            WHEN read.error IS NOT NULL THEN 'engine error'
            WHEN read.is_filtered THEN 'filtered'
            WHEN read.decision_word IS NULL THEN 'no decision'
            WHEN len(read.decisions) > 1 THEN 'contradicts itself'
            WHEN is_cut(read.finish_reason) AND len(read.codes) > 0 THEN 'cut off'
            WHEN mapped.has_unknown THEN 'unknown harm category'
            WHEN read.decision_word IN ('safe', 'no') AND len(read.codes) > 0 THEN 'contradicts itself'
        END AS problem
    FROM read
    LEFT JOIN mapped USING (request_id)
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
    if(problem IS NULL, is_safe, NULL) AS is_safe,
    CAST(if(problem IS NULL AND is_safe, 0, NULL) AS TINYINT) AS severity_level,
    if(problem IS NULL, categories, NULL) AS harm_category,
    CAST(NULL AS TINYINT) AS winner,
    if(problem IS NULL, confidence, NULL) AS confidence,
    completion AS raw,
    problem
FROM checked
