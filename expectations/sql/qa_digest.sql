-- Each digest is the SHA-256 of prompt and response.
SELECT sha256
FROM qa
WHERE sha256 <> sha256(prompt || response)
