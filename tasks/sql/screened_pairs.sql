-- One row per labelled answer of a responder, with a reason where it has no partner.
WITH labelled AS (
    SELECT
        responses.request_id,
        responses.responder,
        responses.response_id
    FROM responses
    SEMI JOIN labels USING (response_id)
),

paired AS (
    SELECT
        responder,
        unnest([response_0_id, response_1_id]) AS response_id
    FROM pairs
)

SELECT
    labelled.request_id AS id,
    if(paired.response_id IS NULL, 'no second answer', NULL) AS reason,
    CAST(NULL AS VARCHAR) AS evidence
FROM labelled
LEFT JOIN (SELECT DISTINCT * FROM paired) AS paired USING (responder, response_id)
