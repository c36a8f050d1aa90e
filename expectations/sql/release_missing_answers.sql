-- Each labelled response stands in qa.
SELECT responses.request_id
FROM responses
SEMI JOIN labels USING (response_id)
ANTI JOIN qa
    ON
        responses.prompt = qa.prompt
        AND responses.response = qa.response
        AND responses.responder = qa.response_source
