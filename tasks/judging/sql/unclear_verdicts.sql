-- One row per distinct thing said by a judge that is not plainly one JSON object with one verdict, where one may yet be found.
WITH said AS (
    SELECT DISTINCT
        requests.question,
        completions.completion,
        coalesce(completions.finish_reason = 'length', FALSE) AS is_cut,
        if(requests.question = 'harm', 'is_safe', 'winner') AS word
    FROM requests
    INNER JOIN completions USING (request_id)
    WHERE completions.error IS NULL AND completions.completion IS NOT NULL
),

-- Plain is an object that names its decision once, at its root or in `verdict`, and has no key twice. DuckDB takes trailing
-- commas and NaN for JSON, which they are not.
examined AS (
    SELECT
        *,
        CASE
            WHEN len(string_split(completion, '"' || word || '"')) <> 2 OR contains(completion, '\u') THEN FALSE
            WHEN regexp_matches(completion, '(?i),\s*[\]}]|:\s*-?(nan|inf)') THEN FALSE
            WHEN json_valid(completion)
                THEN
                    list_contains(coalesce(json_keys(completion, '$.verdict'), json_keys(completion)), word)
                    AND len(list_distinct(json_keys(completion))) = len(json_keys(completion))
                    AND coalesce(
                        len(list_distinct(json_keys(completion, '$.verdict'))) = len(json_keys(completion, '$.verdict')), TRUE
                    )
            ELSE FALSE
        END AS is_plain
    FROM said
)

SELECT
    question,
    completion,
    is_cut,
    if(json_valid(completion), completion, spoken(completion)) AS said
FROM examined
WHERE NOT is_plain
