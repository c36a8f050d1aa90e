-- One row per wanted row that the store does not settle. A request that ended in an error is asked again, but for one that is
-- known to be longer than the model.
WITH settled AS (
    SELECT wanted.request_id
    FROM wanted
    INNER JOIN stored USING (request_id)
    CROSS JOIN model
    WHERE is_settled(stored.error, stored.input_tokens, wanted.max_tokens, model.positions)
)

SELECT wanted.*
FROM wanted
ANTI JOIN settled USING (request_id)
