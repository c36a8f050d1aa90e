-- Every agreement that the configuration asks for as critical exists and is reached.
SELECT
    thresholds.*,
    agreement.value,
    agreement.subjects
FROM thresholds
LEFT JOIN agreement USING (question, between, measure)
WHERE
    thresholds.severity = 'critical'
    AND NOT coalesce(agreement.value >= thresholds.at_least, FALSE)
