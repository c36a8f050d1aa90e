-- What filters refused or cut off is no larger a share of what any model was asked for than errors may be with this severity.
SELECT
    asked_of_models.*,
    limits.at_most,
    printf(
        '%s: %d of %d %s were refused or cut off by a filter (%.2f%%), which chooses by content',
        model, filtered, requests - too_long, asked_for, 100 * share_filtered
    ) AS said
FROM asked_of_models
INNER JOIN limits ON asked_of_models.share_filtered > limits.at_most AND limits.severity = $severity
ORDER BY share_filtered DESC
