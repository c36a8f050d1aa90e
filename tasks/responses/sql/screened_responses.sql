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
                NOT is_too_long(error),
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
        -- As some endpoints say that do not count.
        nullif(completions.input_tokens, 0) AS input_tokens,
        nullif(completions.output_tokens, 0) AS output_tokens,
        completions.error,
        completions.request_id IS NOT NULL AS is_answered,
        list_contains($filters, ending(completions.finish_reason)) AS is_filtered,
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

-- Most answers are told to be good by a quick look: a regular expression, and stretches from a quarter and from the middle
-- of them that do not come again. Of the others it is measured.
measured AS (
    SELECT
        *,
        response_id(prompt, response) AS response_id,
        first_value(sample) OVER (PARTITION BY prompt_id, without_layout, is_filtered ORDER BY sample) AS first_sample,
        CASE
            WHEN contains(response, chr(65533)) OR contains(response, chr(0)) THEN 0
            WHEN may_be_garbled(response)
                THEN if(json_valid(response), 1, readable(response))
        END AS readable,
        CASE
            WHEN
                length(response) >= 80
                AND (comes_again(response, length(response) // 4) OR comes_again(response, length(response) // 2))
                THEN novelty(response)
        END AS novelty
    FROM compared
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
    CAST(NULL AS BOOLEAN) AS embedded_in_part,
    language(response) AS language,
    CASE
        WHEN NOT is_answered THEN 'not answered'
        WHEN is_too_long(error) THEN 'too long'
        WHEN error IS NOT NULL THEN 'engine error'
        WHEN is_filtered THEN 'filtered'
        WHEN response = '' THEN 'blank'
        WHEN readable < 0.2 THEN 'garbled'
        WHEN novelty < 0.25 THEN 'repeats itself'
        WHEN sample > first_sample THEN 'duplicate'
    END AS reason,
    CASE
        WHEN error IS NOT NULL THEN error
        WHEN is_filtered THEN finish_reason
        WHEN response = '' THEN NULL
        WHEN readable < 0.2 THEN round(100 * readable) || '% letters, digits and symbols'
        WHEN novelty < 0.25 THEN 'at most ' || round(100 * novelty) || '% of its stretches of 16 characters are new'
        WHEN sample > first_sample THEN 'same as sample ' || first_sample
    END AS evidence
FROM measured
