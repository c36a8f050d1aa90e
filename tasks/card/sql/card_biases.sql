-- One row per judge and question about pairs: how often the answer shown first wins, whichever it is, and how often the longer
-- answer is the judge's choice over both orders, where it has one.
WITH by_order AS (
    SELECT
        annotator,
        question,
        subject_id AS pair_id,
        flipped,
        avg(winner) AS share_1
    FROM verdicts
    WHERE problem IS NULL AND winner IS NOT NULL AND annotator_kind = 'model'
    GROUP BY annotator, question, subject_id, flipped
),

by_pair AS (
    SELECT
        annotator,
        question,
        pair_id,
        avg(if(flipped, share_1, 1 - share_1)) AS first_wins,
        avg(share_1) AS share_1
    FROM by_order
    GROUP BY annotator, question, pair_id
    HAVING count(*) = 2
),

compared AS (
    SELECT
        by_pair.*,
        if(
            by_pair.share_1 <> 0.5 AND length(pairs.response_0) <> length(pairs.response_1),
            CAST((length(pairs.response_1) > length(pairs.response_0)) = (by_pair.share_1 > 0.5) AS INTEGER),
            NULL
        ) AS longer_wins
    FROM by_pair
    INNER JOIN pairs USING (pair_id)
)

SELECT
    annotator AS judge,
    question,
    avg(first_wins) AS first_wins,
    count(*) AS pairs,
    avg(longer_wins) AS longer_wins,
    count(longer_wins) AS decided_pairs
FROM compared
GROUP BY ALL
ORDER BY ALL
