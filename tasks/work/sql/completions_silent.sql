-- One row: how many answers of a block say nothing: they are empty, or thinking without an end or with nothing after it. What a
-- filter refused is none of them.
WITH answered AS (
    SELECT
        normalise_text(completion) AS plain,
        ends_thinking_alone(plain) AS only_ends
    FROM completions
    WHERE error IS NULL AND NOT is_filtered(finish_reason)
),

thought AS (
    SELECT if(only_ends OR begins_thinking(plain), after_thinking(plain, only_ends), plain) AS spoken
    FROM answered
)

SELECT count(*) FILTER (WHERE spoken = '' OR begins_thinking(spoken)) AS answers
FROM thought
