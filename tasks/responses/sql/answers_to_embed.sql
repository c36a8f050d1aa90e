-- One row per distinct answer that may be compared with others.
SELECT DISTINCT
    response_id,
    response
FROM screened
WHERE reason IS NULL
ORDER BY
    length(response),
    response_id
