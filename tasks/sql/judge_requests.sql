-- One row per question to a judge that has no valid verdict yet.
WITH subjects AS (
    SELECT * FROM subjects
),

rubrics AS (
    SELECT * FROM rubrics
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
        rubrics.system,
        rubrics.json_schema,
        votes.sample
    FROM subjects
    INNER JOIN rubrics USING (question)
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
)

SELECT
    request_id($model, system, user, $temperature, $top_p, $max_tokens, seed, json_schema) AS request_id,
    subject_id,
    question,
    sample,
    CAST($attempt AS BIGINT) AS attempt,
    flipped,
    system,
    user,
    CAST($temperature AS DOUBLE) AS temperature,
    CAST($top_p AS DOUBLE) AS top_p,
    CAST($max_tokens AS BIGINT) AS max_tokens,
    CAST(seed AS BIGINT) AS seed,
    json_schema
FROM unsettled
ORDER BY question, length(user), subject_id, flipped, sample
