-- One row per responder: of its answers whose language and whose prompt's could be told, those that differ in it.
SELECT
    responses.responder,
    count(*) AS answers,
    count(*) FILTER (WHERE responses.language IS NOT NULL AND prompts.language IS NOT NULL) AS told,
    count(*) FILTER (WHERE responses.language <> prompts.language) AS in_another_language,
    avg(CAST(responses.language <> prompts.language AS INTEGER)) AS share_of_told
FROM responses
INNER JOIN prompts USING (prompt_id)
GROUP BY responses.responder
ORDER BY responses.responder
