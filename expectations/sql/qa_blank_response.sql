-- No response is blank.
SELECT sha256
FROM qa
WHERE trim(response, ' ' || chr(9) || chr(10) || chr(13)) = ''
