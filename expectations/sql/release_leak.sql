-- No prompt, and no prompt of the same words, stands in both splits of any datasets.
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

clustered AS (
    SELECT DISTINCT
        coalesce(nullif(array_to_string(list_sort(list_distinct(words(prompt))), ' '), ''), prompt) AS word_set,
        parse_filename(filename, true) AS split
    FROM located
)

SELECT sha256(word_set) AS cluster_id
FROM clustered
GROUP BY word_set
HAVING count(*) > 1
