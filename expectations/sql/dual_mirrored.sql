-- No pair stands twice with its answers swapped.
SELECT
    a.response_0_sha256,
    a.response_1_sha256
FROM dual AS a
INNER JOIN dual AS b
    ON
        a.prompt = b.prompt
        AND a.response_0 = b.response_1
        AND a.response_1 = b.response_0
        AND a.response_0_source = b.response_0_source
