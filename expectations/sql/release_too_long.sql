-- What a model has no room for is no larger a share of what it was asked for than errors may be with this severity.
SELECT
    asked_of_models.*,
    limits.at_most,
    printf(
        '%s: %d of %d %s are too long for it (%.2f%%): raise max_model_len, or lower max_tokens or the prompts'' max_chars',
        model, too_long, requests, asked_for, 100 * share_too_long
    ) AS said
FROM asked_of_models
INNER JOIN limits ON asked_of_models.share_too_long > limits.at_most AND limits.severity = $severity
ORDER BY share_too_long DESC
