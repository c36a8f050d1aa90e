-- One row: how many rows a file has, and a hash of what they say and of their order, which those who train on them see.
WITH numbered AS (
    SELECT
        row_number() OVER () AS place,
        to_json(file) AS row_json
    FROM file
)

SELECT
    count(*) AS rows,
    CAST(coalesce(sum(hash(place, row_json)), 0) AS VARCHAR) AS content
FROM numbered
