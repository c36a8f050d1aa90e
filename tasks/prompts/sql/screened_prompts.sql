-- One row per row of `sources`, normalised, with the reason why it is left out, if any.
WITH sources AS (
    SELECT * FROM sources
),

normalised AS (
    SELECT
        row_number,
        place,
        lines,
        prompt_source,
        problem,
        prompt AS raw,
        normalise_text(prompt) AS prompt
    FROM sources
),

identified AS (
    SELECT
        *,
        sha256(prompt) AS prompt_id,
        sha256(letters(prompt)) AS cluster_id,
        language(prompt) AS language,
        min(row_number) OVER same AS first_row,
        arg_min(place, row_number) OVER same AS first_place
    FROM normalised
    WINDOW same AS (PARTITION BY prompt)
)

SELECT
    place AS id,
    prompt_id,
    prompt,
    prompt_source,
    cluster_id,
    if(hashed_integer('split ' || cluster_id) < $test_share * 2147483648, 'test', 'train') AS split,
    language,
    CASE
        WHEN problem IS NOT NULL THEN problem
        WHEN contains(raw, chr(0)) THEN 'NUL character'
        WHEN prompt = '' THEN 'blank'
        WHEN length(prompt) > $max_chars THEN 'too long'
        WHEN len($languages) > 0 AND NOT list_contains($languages, language) THEN 'other language'
        WHEN row_number > first_row THEN 'duplicate'
    END AS reason,
    nullif(
        concat_ws(
            ', ',
            lines,
            CASE
                WHEN problem IS NOT NULL OR contains(raw, chr(0)) OR prompt = '' THEN NULL
                WHEN length(prompt) > $max_chars THEN length(prompt) || ' characters, at most ' || $max_chars
                WHEN len($languages) > 0 AND NOT list_contains($languages, language) THEN language
                WHEN row_number > first_row THEN 'same as ' || first_place
            END
        ),
        ''
    ) AS evidence
FROM identified
ORDER BY row_number
