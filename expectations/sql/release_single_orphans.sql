-- dual and single hold the same pairs in the same split.
SELECT
    coalesce(dual.response_0_sha256, single.response_0_sha256) AS response_0_sha256,
    coalesce(dual.response_1_sha256, single.response_1_sha256) AS response_1_sha256
FROM dual
FULL JOIN single
    ON
        dual.prompt = single.prompt
        AND dual.response_0 = single.response_0
        AND dual.response_1 = single.response_1
        AND dual.response_0_source = single.response_0_source
        AND parse_filename(dual.filename) = parse_filename(single.filename)
WHERE dual.prompt IS NULL OR single.prompt IS NULL
