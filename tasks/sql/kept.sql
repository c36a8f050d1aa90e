-- One row per row that a stage kept, in the order of `screened`, which holds every row of the stage with its reason, if any.
SELECT * EXCLUDE (id, reason, evidence)
FROM screened
WHERE reason IS NULL
