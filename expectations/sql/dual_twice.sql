-- No pair of one responder stands twice; two may share a digest.
SELECT
    any_value(response_0_sha256) AS response_0_sha256,
    any_value(response_1_sha256) AS response_1_sha256,
    response_0_source,
    count(*) AS times
FROM dual
GROUP BY prompt, response_0, response_1, response_0_source
HAVING count(*) > 1
