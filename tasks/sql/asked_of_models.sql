-- One row per model and what it was asked for, where some of it ended in an error of the engine, was refused by a filter or is too
-- long for the model. The last attempt counts. Of what is too long nothing was answered, so that errors and filters are shares of
-- the rest. Card, gate and summary count by it.
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
    count(*) FILTER (WHERE problem = 'too long') AS too_long,
    too_long / requests AS share_too_long,
    count(*) FILTER (WHERE problem IN ('engine error', 'not answered')) AS failed,
    coalesce(failed / nullif(requests - too_long, 0), 0) AS share_failed,
    count(*) FILTER (WHERE problem = 'filtered') AS filtered,
    coalesce(filtered / nullif(requests - too_long, 0), 0) AS share_filtered
FROM asked
GROUP BY model, asked_for
HAVING failed + filtered + too_long > 0
ORDER BY share_failed DESC, share_filtered DESC, model ASC, asked_for ASC
