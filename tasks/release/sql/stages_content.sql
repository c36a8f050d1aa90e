-- One row per stage: what it took in, kept and dropped, without what that cost.
SELECT
    stage,
    grain,
    rows_in,
    rows_kept,
    rows_dropped
FROM stages
ORDER BY stage
