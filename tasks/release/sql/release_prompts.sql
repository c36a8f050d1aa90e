-- One row per kept prompt of one split, in PKU-SafeRLHF's columns.
SELECT
    prompt,
    prompt_source
FROM prompts
WHERE split = $split
ORDER BY prompt_id
