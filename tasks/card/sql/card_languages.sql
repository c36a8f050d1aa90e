-- One row per language, those that most texts are in first, then all others and what could not be told: prompts and answers in it.
WITH texts AS (
    SELECT
        language,
        TRUE AS is_prompt
    FROM prompts
    UNION ALL
    SELECT
        language,
        FALSE AS is_prompt
    FROM responses
),

counted AS (
    SELECT
        language,
        count(*) FILTER (WHERE is_prompt) AS prompts,
        count(*) FILTER (WHERE NOT is_prompt) AS answers
    FROM texts
    GROUP BY language
),

placed AS (
    SELECT
        *,
        if(language IS NULL, NULL, row_number() OVER (ORDER BY language IS NULL, prompts + answers DESC, language)) AS place
    FROM counted
),

named AS (
    SELECT
        * REPLACE (if(place > $most, $most + 1, place) AS place),
        CASE
            WHEN language IS NULL THEN 'not told'
            WHEN place <= $most THEN language
            ELSE 'others'
        END AS name
    FROM placed
)

SELECT
    name AS language,
    CAST(sum(prompts) AS BIGINT) AS prompts,
    CAST(sum(answers) AS BIGINT) AS answers
FROM named
GROUP BY ALL
ORDER BY min(place) NULLS LAST
