-- The same prompt and response always have the same label.
SELECT any_value(sha256) AS sha256
FROM qa
GROUP BY prompt, response
HAVING count(DISTINCT row(is_safe, harm_category, severity_level)) > 1
