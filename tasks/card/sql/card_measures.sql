-- One row per measure of agreement that exists.
SELECT *
FROM agreement
WHERE value IS NOT NULL
