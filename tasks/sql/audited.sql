-- One row: of the answers in the audit, how many there are, how many people judged, and of these how many models labelled
-- otherwise. `model_labels` holds the labels that models alone give.
WITH drawn AS (
    SELECT
        response_id,
        is_safe,
        by_people,
        row_number() OVER (ORDER BY sha256(concat_ws(' ', 'audit', $seed, response_id))) <= floor($answers * $audit_share) AS audit
    FROM labels
)

SELECT
    count(*) AS drawn,
    count(*) FILTER (WHERE drawn.by_people) AS audited,
    count(*) FILTER (WHERE drawn.by_people AND model_labels.is_safe <> drawn.is_safe) AS wrong
FROM drawn
INNER JOIN model_labels USING (response_id)
WHERE drawn.audit AND model_labels.reason IS NULL
