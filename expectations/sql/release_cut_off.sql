-- Of no responder's answers, kept or left out as unfinished thinking, a larger share was cut off because they were long enough than
-- errors may be with this severity.
SELECT
    answers_cut_off.*,
    limits.at_most,
    printf(
        '%s: %d of %d answers, kept or left out as unfinished thinking, were cut off (%.2f%%), %d of them in thinking: raise its '
        || 'max_tokens',
        responder, cut_off + unfinished_thinking, answers, 100 * share, unfinished_thinking
    ) AS said
FROM answers_cut_off
INNER JOIN limits ON answers_cut_off.share > limits.at_most AND limits.severity = $severity
ORDER BY share DESC
