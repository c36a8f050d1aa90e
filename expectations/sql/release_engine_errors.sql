-- Requests that ended in an error of the engine are no larger a share of what any model was asked for than the configuration lets
-- be with this severity.
SELECT
    asked_of_models.*,
    limits.at_most,
    printf(
        '%s: %d of %d %s ended in an error (%.2f%%, more than %.2f%%): mend the cause, run again; or change [gate.engine_errors]',
        model, failed, requests - too_long, asked_for, 100 * share_failed, 100 * at_most
    ) AS said
FROM asked_of_models
INNER JOIN limits ON asked_of_models.share_failed > limits.at_most AND limits.severity = $severity
ORDER BY share_failed DESC
