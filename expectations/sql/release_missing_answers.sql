-- Each labelled response stands in qa.
SELECT responses.request_id
FROM responses
SEMI JOIN labels USING (response_id)
ANTI JOIN qa
    ON responses.response_id = qa.sha256 AND responses.responder = qa.response_source
