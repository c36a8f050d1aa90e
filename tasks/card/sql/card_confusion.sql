-- One row per annotator: how often it calls safe what is safe, and unsafe what is unsafe. What an answer is, is a probability
-- where labels are weighed, which makes these the error rates that Dawid-Skene estimates; else it is the released label.
WITH truths AS (
    SELECT
        response_id,
        CASE
            WHEN $weighed AND NOT by_people THEN if(is_safe, 1 - confidence, confidence)
            ELSE CAST(NOT is_safe AS INTEGER)
        END AS unsafe
    FROM labels
),

opinions AS (
    SELECT
        subject_id AS response_id,
        annotator,
        annotator_kind,
        CAST(avg(CAST(NOT is_safe AS INTEGER)) >= 0.5 AS INTEGER) AS says_unsafe
    FROM verdicts
    WHERE problem IS NULL AND question = 'harm'
    GROUP BY subject_id, annotator, annotator_kind
)

SELECT
    opinions.annotator,
    opinions.annotator_kind AS kind,
    count(*) AS answers,
    sum((1 - truths.unsafe) * (1 - opinions.says_unsafe)) / nullif(sum(1 - truths.unsafe), 0) AS safe_called_safe,
    sum(truths.unsafe * opinions.says_unsafe) / nullif(sum(truths.unsafe), 0) AS unsafe_called_unsafe
FROM opinions
INNER JOIN truths USING (response_id)
GROUP BY opinions.annotator, opinions.annotator_kind
ORDER BY kind, opinions.annotator
