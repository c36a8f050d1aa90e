-- One row per question to a judge that has no valid verdict yet, is not too long for it and was not refused for what it says.
-- Votes are numbered within each rubric, so that neither more votes nor another rubric changes what was asked before.
WITH subjects AS (
    SELECT * FROM subjects
),

rubrics AS (
    SELECT
        *,
        frame_id(system, json_schema) AS frame_id
    FROM rubrics
),

settled AS (
    SELECT
        subject_id,
        question,
        flipped,
        rubric,
        vote AS sample
    FROM verdicts
    WHERE problem IS NULL OR problem IN ('filtered', 'too long')
),

asked AS (
    SELECT
        subjects.subject_id,
        subjects.question,
        subjects.flipped,
        subjects.user,
        subjects.assistant,
        variants.rubric,
        CAST(votes.vote AS BIGINT) AS sample
    FROM subjects
    INNER JOIN (SELECT
        question,
        rubric
    FROM rubrics) AS variants USING (question)
    CROSS JOIN range($votes) AS votes (vote)
),

unsettled AS (
    SELECT
        asked.*,
        hashed_integer(
            concat_ws(
                ' ',
                $seed,
                $annotator,
                $model,
                asked.question,
                asked.rubric,
                asked.subject_id,
                asked.flipped,
                asked.sample,
                $attempt
            )
        ) AS seed
    FROM asked
    ANTI JOIN settled USING (subject_id, question, flipped, rubric, sample)
),

-- Sorted before the rubrics come in: what is the same in each row and pages long need not be moved.
sorted AS (
    SELECT * FROM unsettled
    ORDER BY question, rubric, length(user), subject_id, flipped, sample
)

SELECT
    request_id(
        $model, rubrics.frame_id, conversation(sorted.user, sorted.assistant), $temperature, $top_p, $max_tokens, sorted.seed
    ) AS request_id,
    sorted.subject_id,
    sorted.question,
    sorted.sample,
    CAST($attempt AS BIGINT) AS attempt,
    sorted.flipped,
    sorted.rubric,
    rubrics.system,
    sorted.user,
    sorted.assistant,
    CAST($temperature AS DOUBLE) AS temperature,
    CAST($top_p AS DOUBLE) AS top_p,
    CAST($max_tokens AS BIGINT) AS max_tokens,
    CAST(sorted.seed AS BIGINT) AS seed,
    rubrics.json_schema,
    rubrics.decision
FROM sorted
INNER JOIN rubrics USING (question, rubric)
