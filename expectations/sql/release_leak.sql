-- No prompt, and no copy of a prompt that differs in case, accents, punctuation, width or word order, stands in both splits.
WITH located AS (
    SELECT
        prompt,
        filename
    FROM prompts
    UNION
    SELECT
        prompt,
        filename
    FROM qa
    UNION
    SELECT
        prompt,
        filename
    FROM dual
    UNION
    SELECT
        prompt,
        filename
    FROM single
),

read_as AS (
    SELECT
        copies.words,
        located.prompt,
        parse_filename(located.filename, true) AS split
    FROM located
    INNER JOIN copies USING (prompt)
)

SELECT
    words,
    list_sort(list(DISTINCT prompt)) AS prompts
FROM read_as
GROUP BY words
HAVING count(DISTINCT split) > 1
