-- One row per request of one responder: its answer, and the reason why it is left out before any comparison, if any.
WITH requests AS (
    SELECT * FROM requests
),

-- The templates of some models begin the thinking, so that most of their whole answers only end it, and one that was cut off before
-- says nothing of it. Less than three whole answers show no habit.
habits AS (
    SELECT
        count(*) >= 3
        AND coalesce(avg(CAST(if(thinks(completion), ends_thinking_alone(completion), FALSE) AS INTEGER)) > 0.5, FALSE) AS is_begun
    FROM completions
    SEMI JOIN requests USING (request_id)
    WHERE completion <> '' AND NOT is_cut(finish_reason)
),

completions AS (
    SELECT completions.*
    FROM completions
    SEMI JOIN requests USING (request_id)
    QUALIFY is_taken(request_id, completion, finish_reason, input_tokens, output_tokens, error, confidence)
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
        is_filtered(completions.finish_reason) AS is_filtered,
        is_cut(completions.finish_reason) AS is_cut,
        completions.completion AS response,
        normalise_text(completions.completion) AS plain,
        without_code(plain) AS shown
    FROM requests
    LEFT JOIN completions USING (request_id)
),

-- An answer is released as it came; what it is like is told by its plain text.
thought AS (
    SELECT
        *,
        if(is_begun, ends_thinking_alone(plain), FALSE) AS only_ends,
        if(only_ends OR begins_thinking(plain), after_thinking(plain, only_ends), plain) AS spoken,
        begins_thinking(spoken)
        OR (is_cut AND (spoken = '' OR thinks_in_words(plain) OR if(is_begun, NOT thinks(plain), FALSE))) AS is_unfinished
    FROM answered
    CROSS JOIN habits
),

-- Most answers are told to be good by a quick look: a regular expression, and stretches from a quarter and from the middle
-- of them that do not come again. Of the others it is measured. The end of an answer that was cut off may be half a character.
-- Layout is what tells no answers apart; a hash of what is left is quicker to compare.
measured AS (
    SELECT
        * EXCLUDE (plain, shown, spoken),
        response_id(prompt, response) AS response_id,
        language(plain) AS language,
        plain = '' AS is_empty,
        spoken = '' AS is_blank,
        contains(plain, chr(65533)) AS has_lost,
        md5(lower(if(regexp_matches(plain, '\n|  '), regexp_replace(plain, '\s+', ' ', 'g'), plain))) AS without_layout,
        CASE
            WHEN contains(plain, chr(0)) THEN 0
            WHEN has_lost AND lost_characters(if(is_cut, rtrim(plain, chr(65533)), plain)) THEN 0
            WHEN may_be_garbled(plain)
                THEN if(json_valid(plain), 1, greatest(readable(plain), if(shown = plain, 0, readable(shown))))
        END AS readable,
        CASE
            WHEN
                length(plain) >= 80
                AND (comes_again(plain, length(plain) // 4) OR comes_again(plain, length(plain) // 2))
                THEN novelty(plain)
        END AS novelty
    FROM thought
),

compared AS (
    SELECT
        *,
        first_value(sample) OVER (PARTITION BY prompt_id, without_layout, is_filtered, is_unfinished ORDER BY sample) AS first_sample
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
    CAST(NULL AS BOOLEAN) AS embedded_in_part,
    language,
    CASE
        WHEN NOT is_answered THEN 'not answered'
        WHEN is_too_long(error) THEN 'too long'
        WHEN error IS NOT NULL THEN 'engine error'
        WHEN is_filtered THEN 'filtered'
        WHEN is_unfinished THEN 'unfinished thinking'
        WHEN is_blank THEN 'blank'
        WHEN readable < 0.2 THEN 'garbled'
        WHEN novelty < 0.25 THEN 'repeats itself'
        WHEN sample > first_sample THEN 'duplicate'
    END AS reason,
    CASE
        WHEN error IS NOT NULL THEN error
        WHEN is_filtered THEN finish_reason
        WHEN is_unfinished THEN if(is_empty, 'cut off before it said anything', 'ended by ' || coalesce(finish_reason, 'itself'))
        WHEN is_blank THEN if(is_empty, NULL, 'thinking alone')
        WHEN readable < 0.2 AND has_lost THEN 'characters that were lost between bytes and text'
        WHEN readable < 0.2 THEN round(100 * readable) || '% letters, digits and symbols'
        WHEN novelty < 0.25 THEN 'at most ' || round(100 * novelty) || '% of its stretches of 16 characters are new'
        WHEN sample > first_sample THEN 'same as sample ' || first_sample
    END AS evidence
FROM compared
