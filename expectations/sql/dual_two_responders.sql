-- Both answers of a pair come from one responder.
SELECT
    response_0_sha256,
    response_1_sha256
FROM dual
WHERE response_0_source <> response_1_source
