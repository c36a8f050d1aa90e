-- No judge gives unusable verdicts to more than one in ten requests.
SELECT
    annotator,
    question,
    count(*) FILTER (WHERE problem IS NOT NULL) / count(*) AS unusable
FROM verdicts
GROUP BY annotator, question
HAVING count(*) FILTER (WHERE problem IS NOT NULL) > 0.1 * count(*)
