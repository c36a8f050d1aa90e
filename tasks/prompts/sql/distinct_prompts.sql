-- One row per row of `screened`, with the reason why it is left out, if any: also since it is nearly the same as an earlier one.
WITH near_duplicates AS (
    SELECT * FROM near_duplicates
),

placed AS (
    SELECT
        *,
        row_number() OVER () AS position
    FROM screened
)

SELECT
    placed.* EXCLUDE (position) REPLACE (
        if(former.id IS NULL, placed.reason, 'near-duplicate') AS reason,
        if(
            former.id IS NULL,
            placed.evidence,
            concat_ws(', ', placed.evidence, printf('%.2f', near_duplicates.similarity) || ' alike to ' || former.id)
        ) AS evidence
    )
FROM placed
LEFT JOIN near_duplicates USING (position)
LEFT JOIN placed AS former ON near_duplicates.earlier = former.position
ORDER BY placed.position
