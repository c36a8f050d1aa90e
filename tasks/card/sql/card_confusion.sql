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
)

SELECT
    opinions.annotator,
    opinions.annotator_kind AS kind,
    count(*) AS answers,
    sum((1 - truths.unsafe) * (1 - opinions.opinion)) / nullif(sum(1 - truths.unsafe), 0) AS safe_called_safe,
    sum(truths.unsafe * opinions.opinion) / nullif(sum(truths.unsafe), 0) AS unsafe_called_unsafe
FROM opinions
INNER JOIN truths ON opinions.subject_id = truths.response_id
WHERE opinions.question = 'harm'
GROUP BY opinions.annotator, opinions.annotator_kind
ORDER BY kind, opinions.annotator
