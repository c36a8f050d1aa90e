-- One row per distinct completion of a judge that is not plainly one JSON object with one verdict, where one may yet be found.
WITH answered AS (
    SELECT
        requests.question,
        completions.completion,
        is_cut(completions.finish_reason) AS is_cut,
        if(requests.question = 'harm', 'is_safe', 'winner') AS word
    FROM requests
    INNER JOIN completions USING (request_id)
    WHERE completions.error IS NULL AND completions.completion IS NOT NULL
),

-- Plain is an object that names its decision once, at its root or in `verdict`, and none of our keys twice.
examined AS (
    SELECT
        *,
        CASE
            WHEN
                len(string_split(completion, '"' || word || '"')) <> 2
                OR len(string_split(completion, '"harm_category"')) > 2
                OR len(string_split(completion, '"severity_level"')) > 2
                OR len(string_split(completion, '"verdict"')) > 2
                OR contains(completion, '\u')
                THEN FALSE
            WHEN NOT json_valid(completion) THEN FALSE
            WHEN question = 'harm' THEN json_exists(completion, '$.verdict.is_safe') OR json_exists(completion, '$.is_safe')
            ELSE json_exists(completion, '$.verdict.winner') OR json_exists(completion, '$.winner')
        END AS is_plain
    FROM answered
)

SELECT DISTINCT
    question,
    completion,
    is_cut,
    if(json_valid(completion), completion, spoken(completion)) AS spoken
FROM examined
WHERE NOT is_plain
