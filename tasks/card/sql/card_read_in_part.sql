-- One row per responder of whose kept answers the embedder read some only in part, or nobody knows that of some.
SELECT
    responder,
    count(*) AS answers,
    count(*) FILTER (WHERE embedded_in_part) AS read_in_part,
    read_in_part / nullif(count(embedded_in_part), 0) AS share,
    count(*) FILTER (WHERE embedded_in_part IS NULL) AS not_known
FROM responses
GROUP BY responder
HAVING read_in_part > 0 OR not_known > 0
ORDER BY responder
