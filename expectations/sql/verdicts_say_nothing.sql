-- A verdict has either a problem or exactly the answer that its question asks for. A severity may be missing where it is unsafe.
SELECT verdict_id
FROM verdicts
WHERE
    if(problem IS NULL AND question = 'harm', is_safe IS NULL OR harm_category IS NULL, is_safe IS NOT NULL)
    OR if(problem IS NULL AND question <> 'harm', winner IS NULL, winner IS NOT NULL)
    OR is_safe <> coalesce(severity_level = 0, FALSE)
