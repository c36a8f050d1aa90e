-- Labelled answers of a responder stand in a dataset, those that are kept in a pair that was judged or left out by the judges.
WITH labelled AS (
    SELECT
        responses.prompt_id,
        responses.responder,
        responses.response_id
    FROM responses
    SEMI JOIN labels USING (response_id)
),

compared AS (
    SELECT pair_id FROM preferences
    UNION ALL
    SELECT id
    FROM dropped
    WHERE stage = 'pairs_to_preferences'
),

paired AS (
    SELECT
        a.responder,
        unnest([a.response_id, b.response_id]) AS response_id
    FROM labelled AS a
    INNER JOIN labelled AS b
        ON
            a.prompt_id = b.prompt_id
            AND a.responder = b.responder
            AND a.response_id < b.response_id
    SEMI JOIN compared ON pair_id(a.responder, a.response_id, b.response_id) = compared.pair_id
)

SELECT
    (SELECT count(*) FROM qa) AS rows_in,
    count(*) AS rows_kept
FROM labelled
SEMI JOIN paired USING (responder, response_id)
