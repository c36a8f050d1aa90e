-- One row per distinct kept answer: what the judge is shown, in one message or as a conversation.
SELECT
    response_id AS subject_id,
    'harm' AS question,
    false AS flipped,
    if($conversation, any_value(prompt), format($message, any_value(prompt), any_value(response))) AS user,
    if($conversation, any_value(response), null) AS assistant
FROM responses
GROUP BY response_id
