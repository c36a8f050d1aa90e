-- One row per answer whose embedding is not in the store yet.
SELECT wanted.*
FROM wanted
ANTI JOIN stored USING (response_id)
