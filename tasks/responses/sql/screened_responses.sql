-- One row per request of one responder: its answer, and the reason why it is left out before any comparison, if any.
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

answered AS (
    SELECT
        requests.request_id,
        requests.subject_id AS prompt_id,
        requests.user AS prompt,
        requests.sample,
        requests.temperature,
        requests.seed,
        completions.finish_reason,
        completions.input_tokens,
        completions.output_tokens,
        completions.error,
        completions.request_id IS NOT NULL AS is_answered,
        normalise_text(completions.completion) AS response
    FROM requests
    LEFT JOIN completions USING (request_id)
),

-- Layout is what tells no answers apart; a hash of what is left is quicker to compare.
compared AS (
    SELECT
        *,
        md5(lower(if(regexp_matches(response, '\n|  '), regexp_replace(response, '\s+', ' ', 'g'), response))) AS without_layout
    FROM answered
),

measured AS (
    SELECT
        *,
        response_id(prompt, response) AS response_id,
        words(response) AS found_words,
        length(regexp_replace(response, '[^\p{L}\p{M}\p{N}\s]+', '', 'g')) / greatest(length(response), 1) AS readable,
        first_value(sample) OVER (PARTITION BY prompt_id, without_layout ORDER BY sample) AS first_sample
    FROM compared
),

judged AS (
    SELECT
        *,
        len(found_words) >= 30 AND list_unique(found_words) / len(found_words) < 0.25 AS repeats_itself
    FROM measured
)

SELECT
    request_id AS id,
    request_id,
    response_id,
    prompt_id,
    prompt,
    response,
    CAST($responder AS VARCHAR) AS responder,
    sample,
    temperature,
    seed,
    finish_reason,
    input_tokens,
    output_tokens,
    CAST(NULL AS DOUBLE) AS similarity,
    CASE
        WHEN NOT is_answered THEN 'not answered'
        WHEN error IS NOT NULL THEN 'engine error'
        WHEN response = '' THEN 'blank'
        WHEN contains(response, chr(65533)) OR contains(response, chr(0)) OR readable < 0.6 OR len(found_words) = 0 THEN 'garbled'
        WHEN repeats_itself THEN 'repeats itself'
        WHEN sample > first_sample THEN 'duplicate'
    END AS reason,
    CASE
        WHEN error IS NOT NULL THEN error
        WHEN response = '' THEN NULL
        WHEN readable < 0.6 THEN round(100 * readable) || '% letters, digits and blanks'
        WHEN repeats_itself THEN round(100 * list_unique(found_words) / len(found_words)) || '% distinct words'
        WHEN sample > first_sample THEN 'same as sample ' || first_sample
    END AS evidence
FROM judged
