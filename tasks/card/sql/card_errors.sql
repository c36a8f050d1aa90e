-- One row per model and what it was asked for, where some of it ended in an error of the engine or was refused by a filter. The
-- last attempt counts. The gate counts by it too.
WITH asked AS (
    SELECT
        responder AS model,
        'answers' AS asked_for,
        NULL AS problem
    FROM responses
    UNION ALL
    SELECT
        responder,
        'answers',
        reason
    FROM dropped
    WHERE stage = 'prompts_to_responses'
    UNION ALL
    SELECT
        annotator,
        'verdicts on ' || question,
        nullif(arg_max(coalesce(problem, ''), attempt), '')
    FROM verdicts
    WHERE annotator_kind = 'model'
    GROUP BY annotator, question, subject_id, flipped, rubric, vote
)

SELECT
    model,
    asked_for,
    count(*) AS requests,
    count(*) FILTER (WHERE problem IN ('engine error', 'not answered')) AS failed,
    failed / count(*) AS share_failed,
    count(*) FILTER (WHERE problem = 'filtered') AS filtered,
    filtered / count(*) AS share_filtered
FROM asked
GROUP BY model, asked_for
HAVING failed + filtered > 0
ORDER BY share_failed DESC, share_filtered DESC, model ASC, asked_for ASC
