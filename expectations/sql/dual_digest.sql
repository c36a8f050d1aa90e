-- Each digest is the SHA-256 of prompt and response.
SELECT
    response_0_sha256,
    response_1_sha256
FROM dual
WHERE response_0_sha256 <> sha256(prompt || response_0) OR response_1_sha256 <> sha256(prompt || response_1)
