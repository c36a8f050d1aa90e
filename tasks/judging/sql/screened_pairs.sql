-- One row per labelled answer of a responder, with a reason where it has no partner, or none that is compared.
WITH labelled AS (
    SELECT
        responses.request_id,
        responses.responder,
        responses.response_id
    FROM responses
    SEMI JOIN labels USING (response_id)
),

paired AS (
    SELECT DISTINCT
        responder,
        unnest([response_0_id, response_1_id]) AS response_id
    FROM all_pairs
),

compared AS (
    SELECT DISTINCT
        responder,
        unnest([response_0_id, response_1_id]) AS response_id
    FROM pairs
)

SELECT
    labelled.request_id AS id,
    CASE
        WHEN paired.response_id IS NULL THEN 'no second answer'
        WHEN compared.response_id IS NULL THEN 'over the budget of pairs'
    END AS reason,
    CAST(NULL AS VARCHAR) AS evidence
FROM labelled
LEFT JOIN paired USING (responder, response_id)
LEFT JOIN compared USING (responder, response_id)
