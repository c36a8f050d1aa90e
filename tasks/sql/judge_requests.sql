-- One row per question to a judge that has no valid verdict yet.
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
        vote AS sample
    FROM verdicts
    WHERE problem IS NULL
),

asked AS (
    SELECT
        subjects.subject_id,
        subjects.question,
        subjects.flipped,
        subjects.user,
        votes.sample
    FROM subjects
    CROSS JOIN range($votes) AS votes (sample)
),

unsettled AS (
    SELECT
        asked.*,
        hashed_integer(
            concat_ws(' ', $seed, $annotator, $model, asked.question, asked.subject_id, asked.flipped, asked.sample, $attempt)
        ) AS seed
    FROM asked
    ANTI JOIN settled USING (subject_id, question, flipped, sample)
),

-- Sorted before the rubrics come in: what is the same in each row and pages long need not be moved.
sorted AS (
    SELECT * FROM unsettled
    ORDER BY question, length(user), subject_id, flipped, sample
)

SELECT
    request_id($model, rubrics.frame_id, sorted.user, $temperature, $top_p, $max_tokens, sorted.seed) AS request_id,
    sorted.subject_id,
    sorted.question,
    sorted.sample,
    CAST($attempt AS BIGINT) AS attempt,
    sorted.flipped,
    rubrics.system,
    sorted.user,
    CAST($temperature AS DOUBLE) AS temperature,
    CAST($top_p AS DOUBLE) AS top_p,
    CAST($max_tokens AS BIGINT) AS max_tokens,
    CAST(sorted.seed AS BIGINT) AS seed,
    rubrics.json_schema
FROM sorted
INNER JOIN rubrics USING (question)
