-- No answer of one responder stands twice; two may share a digest.
SELECT
    any_value(sha256) AS sha256,
    response_source,
    count(*) AS times
FROM qa
GROUP BY prompt, response, response_source
HAVING count(*) > 1
