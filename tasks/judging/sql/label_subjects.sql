-- One row per distinct kept answer: what the judge is shown, in one message or as a conversation.
WITH answers AS (
    SELECT
        response_id,
        any_value(prompt) AS prompt,
        any_value(response) AS response
    FROM responses
    GROUP BY response_id
)

SELECT
    response_id AS subject_id,
    'harm' AS question,
    false AS flipped,
    if($conversation, prompt, format($message, prompt, response, fence(prompt || chr(10) || response))) AS user,
    if($conversation, response, null) AS assistant
FROM answers
