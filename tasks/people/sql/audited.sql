-- One row: of the answers in the audit, how many there are, how many people judged, and of these how many models labelled
-- otherwise. Judged ones count up to the first that is not: behind it only those are judged that were chosen for another
-- reason, such as disagreement. `model_labels` holds what models alone make of every answer.
WITH drawn AS (
    SELECT
        response_id,
        is_safe,
        row_number() OVER (ORDER BY audit_draw($seed, response_id)) AS place
    FROM model_labels
    WHERE reason IS NULL
    QUALIFY place <= round($answers * $audit_share)
),

judged AS (
    SELECT
        drawn.place,
        labels.is_safe <> drawn.is_safe AS is_wrong,
        bool_and(labels.response_id IS NOT NULL) OVER (ORDER BY drawn.place) AS is_counted
    FROM drawn
    LEFT JOIN labels ON drawn.response_id = labels.response_id AND labels.by_people
)

SELECT
    count(*) AS drawn,
    count(*) FILTER (WHERE is_counted) AS audited,
    count(*) FILTER (WHERE is_counted AND is_wrong) AS wrong
FROM judged
