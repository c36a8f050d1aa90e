-- The two responses of a pair are neither blank nor equal.
SELECT
    response_0_sha256,
    response_1_sha256
FROM single
WHERE trim(response_0) = '' OR trim(response_1) = '' OR trim(response_0) = trim(response_1)
