-- No response is blank.
SELECT sha256
FROM {batch}
WHERE trim(response, ' ' || chr(9) || chr(10) || chr(13)) = ''
