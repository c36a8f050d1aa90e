-- No prompt is blank.
SELECT filename
FROM {batch}
WHERE trim(prompt, ' ' || chr(9) || chr(10) || chr(13)) = ''
