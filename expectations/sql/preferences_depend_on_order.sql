-- At most a quarter of the pairs get an even vote, which is what a judge gives who prefers a position.
SELECT
    avg(CAST(better_agreement = 0.5 AS INTEGER)) AS better_even,
    avg(CAST(safer_agreement = 0.5 AS INTEGER)) AS safer_even,
    avg(CAST(overall_agreement = 0.5 AS INTEGER)) AS overall_even
FROM preferences
HAVING greatest(better_even, safer_even, overall_even) > 0.25
