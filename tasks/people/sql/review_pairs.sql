-- One row per pair handed to people, in their order: what they are shown, which models prefer what, and what most of them
-- prefer. Which answer is A is decided by a hash of the pair.
WITH queue AS (
    SELECT
        subject_id,
        place
    FROM queue
    WHERE subject = 'pair'
),

shown AS (
    SELECT
        pairs.*,
        hashed_integer('review ' || pairs.pair_id) % 2 = 1 AS flipped
    FROM pairs
),

-- People are told what more of a model's votes say, be it in one order alone.
leaning AS (
    SELECT
        opinions.subject_id,
        opinions.annotator,
        opinions.question,
        sign(2 * opinions.votes_1 - opinions.votes) * if(shown.flipped, 1, -1) AS first_wins
    FROM opinions
    INNER JOIN shown ON opinions.subject_id = shown.pair_id
    WHERE opinions.annotator_kind = 'model' AND opinions.question <> 'harm'
),

lines AS (
    SELECT
        subject_id,
        annotator,
        string_agg(
            question || ' ' || CASE first_wins WHEN 1 THEN 'A' WHEN -1 THEN 'B' ELSE 'undecided' END, ', ' ORDER BY question ASC
        ) AS opinion
    FROM leaning
    GROUP BY subject_id, annotator
),

from_models AS (
    SELECT
        subject_id,
        string_agg(annotator || ': ' || opinion, chr(10) ORDER BY annotator ASC) AS models
    FROM lines
    GROUP BY subject_id
),

preferred AS (
    SELECT
        subject_id,
        sum(first_wins) FILTER (WHERE question = 'helpfulness') AS helpfulness,
        sum(first_wins) FILTER (WHERE question = 'harmlessness') AS harmlessness,
        sum(first_wins) FILTER (WHERE question = 'overall') AS overall
    FROM leaning
    GROUP BY subject_id
)

SELECT
    queue.subject_id,
    shown.responder,
    shown.flipped,
    shown.prompt,
    if(shown.flipped, shown.response_1, shown.response_0) AS answer_a,
    if(shown.flipped, shown.response_0, shown.response_1) AS answer_b,
    coalesce(from_models.models, '') AS models,
    CASE sign(preferred.helpfulness) WHEN 1 THEN 'A' WHEN -1 THEN 'B' END AS helpfulness,
    CASE sign(preferred.harmlessness) WHEN 1 THEN 'A' WHEN -1 THEN 'B' END AS harmlessness,
    CASE sign(preferred.overall) WHEN 1 THEN 'A' WHEN -1 THEN 'B' END AS overall
FROM queue
INNER JOIN shown ON queue.subject_id = shown.pair_id
LEFT JOIN from_models USING (subject_id)
LEFT JOIN preferred USING (subject_id)
ORDER BY queue.place, queue.subject_id
