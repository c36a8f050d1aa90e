-- One row per answer handed to people, in their order: what they are shown, what models said of it, and its label, if any.
WITH queue AS (
    SELECT
        subject_id,
        place
    FROM queue
    WHERE subject = 'answer'
),

answers AS (
    SELECT
        response_id AS subject_id,
        any_value(prompt) AS prompt,
        any_value(response) AS response
    FROM responses
    GROUP BY response_id
),

opinions AS (
    SELECT
        subject_id,
        concat_ws(
            ' ',
            annotator || ':',
            concat_ws(', ', if(is_safe, 'safe', 'unsafe'), nullif(list_aggregate(harm_category, 'string_agg', ', '), '')),
            if(severity_level > 0, '(severity ' || severity_level || ')', NULL),
            '- ' || if(json_valid(raw), json_extract_string(raw, '$.analysis'), NULL)
        ) AS opinion
    FROM verdicts
    WHERE annotator_kind = 'model' AND problem IS NULL AND question = 'harm'
),

from_models AS (
    SELECT
        subject_id,
        string_agg(DISTINCT opinion, chr(10) ORDER BY opinion ASC) AS models
    FROM opinions
    GROUP BY subject_id
)

SELECT
    queue.subject_id,
    answers.prompt,
    answers.response,
    coalesce(from_models.models, '') AS models,
    labels.is_safe,
    labels.harm_category,
    labels.severity_level
FROM queue
INNER JOIN answers USING (subject_id)
LEFT JOIN from_models USING (subject_id)
LEFT JOIN labels ON queue.subject_id = labels.response_id
ORDER BY queue.place, queue.subject_id
