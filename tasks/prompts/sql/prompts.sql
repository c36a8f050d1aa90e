-- One row per kept prompt.
SELECT
    prompt_id,
    prompt,
    prompt_source,
    cluster_id,
    split
FROM screened
WHERE reason IS NULL
