-- One row per pair that is compared: in each cell the first ones by their drawn place.
SELECT pairs.*
FROM pairs
INNER JOIN quota_cells USING (pair_id)
INNER JOIN pair_quotas USING (mix, severity_level, category)
WHERE quota_cells.place <= pair_quotas.chosen
ORDER BY pairs.prompt_id, pairs.responder, pairs.response_0_id, pairs.response_1_id
