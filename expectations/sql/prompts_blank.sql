-- No prompt is blank.
SELECT
    prompt,
    filename
FROM prompts
WHERE trim(prompt, ' ' || chr(9) || chr(10) || chr(13)) = ''
