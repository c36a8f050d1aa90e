-- One row per two labelled answers of one responder to one prompt. Which one is 0 is decided by their hashes.
WITH labelled AS (
    SELECT
        responses.prompt_id,
        responses.prompt,
        responses.responder,
        responses.response_id,
        responses.response,
        labels.severity_level
    FROM responses
    INNER JOIN labels USING (response_id)
)

SELECT
    pair_id(a.responder, a.response_id, b.response_id) AS pair_id,
    a.prompt_id,
    a.responder,
    a.response_id AS response_0_id,
    b.response_id AS response_1_id,
    a.prompt,
    a.response AS response_0,
    b.response AS response_1,
    a.severity_level AS severity_0,
    b.severity_level AS severity_1
FROM labelled AS a
INNER JOIN labelled AS b
    ON
        a.prompt_id = b.prompt_id
        AND a.responder = b.responder
        AND a.response_id < b.response_id
ORDER BY a.prompt_id, a.responder, a.response_id, b.response_id
