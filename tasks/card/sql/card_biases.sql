-- One row per judge and question about pairs: how often the answer shown first wins, whichever it is, and how often the longer
-- answer is the judge's choice over both orders, where it has one.
WITH compared AS (
    SELECT
        opinions.annotator,
        opinions.question,
        opinions.first_wins,
        if(
            length(pairs.response_0) <> length(pairs.response_1),
            CAST((length(pairs.response_1) > length(pairs.response_0)) = (opinions.opinion = 1) AS INTEGER),
            NULL
        ) AS longer_wins
    FROM opinions
    INNER JOIN pairs ON opinions.subject_id = pairs.pair_id
    WHERE opinions.annotator_kind = 'model' AND opinions.first_wins IS NOT NULL
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
