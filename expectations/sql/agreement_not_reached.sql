-- Every agreement that the configuration asks for with this severity exists and is reached.
SELECT
    thresholds.*,
    agreement.value,
    agreement.subjects
FROM thresholds
LEFT JOIN agreement USING (question, between, measure)
WHERE
    thresholds.severity = $severity
    AND NOT coalesce(agreement.value >= thresholds.at_least, FALSE)
