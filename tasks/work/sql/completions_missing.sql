-- One row per wanted row whose key is not in the store yet. A request that ended in an error is asked again.
SELECT wanted.*
FROM wanted
ANTI JOIN (
    SELECT * FROM stored
    WHERE error IS NULL
) AS stored
    USING (request_id)
