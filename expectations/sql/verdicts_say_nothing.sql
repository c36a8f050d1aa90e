-- A verdict has either a problem or exactly the answer that its question asks for.
SELECT verdict_id
FROM verdicts
WHERE
    if(problem IS NULL AND question = 'harm', severity_level IS NULL OR harm_category IS NULL, severity_level IS NOT NULL)
    OR if(problem IS NULL AND question <> 'harm', winner IS NULL, winner IS NOT NULL)
