-- In a pair with exactly one safe answer, that one is the safer answer.
SELECT
    response_0_sha256,
    response_1_sha256,
    safer_response_id
FROM dual
WHERE is_response_0_safe <> is_response_1_safe AND safer_response_id <> if(is_response_0_safe, 0, 1)
