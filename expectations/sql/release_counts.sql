-- For every stage, rows in are rows kept plus rows dropped, as counted in the tables themselves.
WITH counted AS (
    SELECT
        'sources_to_prompts' AS stage,
        (SELECT count(*) FROM prompts) AS rows_kept
    UNION ALL
    SELECT
        'prompts_to_responses',
        (SELECT count(*) FROM responses)
    UNION ALL
    SELECT
        'responses_to_labels',
        (SELECT count(*) FROM labels)
    UNION ALL
    SELECT
        'labels_to_pairs',
        (
            SELECT count(*) FROM qa) - (
            SELECT count(*) FROM dropped
            WHERE stage = 'labels_to_pairs'
        )
    UNION ALL
    SELECT
        'people_to_' || if(question = 'harm', 'labels', 'preferences'),
        count(*)
    FROM verdicts
    WHERE annotator_kind = 'person'
    GROUP BY ALL
    UNION ALL
    SELECT
        'pairs_to_preferences',
        (SELECT count(*) FROM preferences)
),

left_out AS (
    SELECT
        stage,
        count(*) AS rows_dropped
    FROM dropped
    GROUP BY stage
)

SELECT
    counted.stage,
    stages.rows_in,
    counted.rows_kept,
    coalesce(left_out.rows_dropped, 0) AS rows_dropped
FROM counted
LEFT JOIN stages USING (stage)
LEFT JOIN left_out USING (stage)
WHERE
    stages.stage IS NULL
    OR stages.rows_in <> counted.rows_kept + coalesce(left_out.rows_dropped, 0)
    OR stages.rows_kept <> counted.rows_kept
    OR stages.rows_dropped <> coalesce(left_out.rows_dropped, 0)
    OR (stages.stage = 'responses_to_labels' AND stages.rows_in <> (SELECT count(DISTINCT response_id) FROM responses))
    OR (
        counted.stage = 'pairs_to_preferences'
        AND stages.rows_kept <> (SELECT count(*) FROM dual)
    )
