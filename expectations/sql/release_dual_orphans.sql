-- Each side of a pair in dual stands in qa of the same responder and split, with the same label.
WITH sides AS (
    SELECT
        prompt,
        response_0 AS response,
        response_0_sha256 AS sha256,
        response_0_source AS response_source,
        filename,
        is_response_0_safe AS is_safe,
        response_0_harm_category AS harm_category,
        response_0_severity_level AS severity_level
    FROM dual
    UNION ALL
    SELECT
        prompt,
        response_1,
        response_1_sha256,
        response_1_source,
        filename,
        is_response_1_safe,
        response_1_harm_category,
        response_1_severity_level
    FROM dual
)

SELECT
    sides.sha256,
    sides.response_source
FROM sides
LEFT JOIN qa
    ON
        sides.prompt = qa.prompt
        AND sides.response = qa.response
        AND sides.response_source = qa.response_source
        AND parse_filename(sides.filename) = parse_filename(qa.filename)
        AND sides.is_safe = qa.is_safe
        AND sides.harm_category = qa.harm_category
        AND sides.severity_level = qa.severity_level
WHERE qa.sha256 IS NULL
