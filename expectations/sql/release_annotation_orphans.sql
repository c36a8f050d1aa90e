-- Each label belongs to a response, each valid verdict to a label or a pair that was judged or dropped, each response to a prompt.
SELECT
    'labels' AS table_name,
    labels.response_id AS id
FROM labels
ANTI JOIN responses USING (response_id)
UNION ALL
SELECT
    'verdicts',
    verdicts.verdict_id
FROM verdicts
ANTI JOIN labels ON verdicts.subject_id = labels.response_id
ANTI JOIN preferences ON verdicts.subject_id = preferences.pair_id
ANTI JOIN dropped ON verdicts.subject_id = dropped.id
UNION ALL
SELECT
    'responses',
    responses.request_id
FROM responses
ANTI JOIN annotated_prompts
    ON responses.prompt_id = annotated_prompts.prompt_id AND responses.prompt = annotated_prompts.prompt
