-- One row per question and distinct list of opinions.
SELECT *
FROM patterns
ORDER BY ALL
