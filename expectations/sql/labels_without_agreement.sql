-- Votes agree on safe or unsafe in three quarters of the cases or more.
SELECT avg(agreement) AS mean_agreement
FROM labels
HAVING avg(agreement) < 0.75
