-- Every agreement that the configuration asks for as a warning exists and is reached.
SELECT
    thresholds.*,
    agreement.value,
    agreement.subjects
FROM thresholds
LEFT JOIN agreement USING (question, between, measure)
WHERE
    thresholds.severity = 'warning'
    AND NOT coalesce(agreement.value >= thresholds.at_least, FALSE)
