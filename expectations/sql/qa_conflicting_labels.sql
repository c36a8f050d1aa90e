-- The same prompt and response always have the same label.
SELECT sha256
FROM qa
GROUP BY sha256
HAVING count(DISTINCT row(is_safe, harm_category, severity_level)) > 1
