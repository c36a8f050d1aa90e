-- One row per pair and question of every prompt and responder whose preferences go round in a circle: what was preferred.
-- An answer that beats itself through others is in a circle, whatever its length; it takes three pairs at least.
WITH RECURSIVE decided AS (
    SELECT
        pairs.prompt_id,
        pairs.responder,
        pairs.pair_id,
        pairs.response_0_id,
        pairs.response_1_id,
        pairs.severity_0,
        pairs.severity_1,
        unnest([
            { 'question': 'helpfulness', 'winner': screened.better_response_id, 'agreement': screened.better_agreement },
            { 'question': 'harmlessness', 'winner': screened.safer_response_id, 'agreement': screened.safer_agreement },
            { 'question': 'overall', 'winner': screened.overall_response_id, 'agreement': screened.overall_agreement }
        ], recursive := true)
    FROM pairs
    INNER JOIN screened USING (pair_id)
    WHERE screened.reason IS null
),

wins AS (
    SELECT
        prompt_id,
        responder,
        question,
        if(winner = 0, response_0_id, response_1_id) AS winner_id,
        if(winner = 0, response_1_id, response_0_id) AS loser_id
    FROM decided
    QUALIFY count(*) OVER (PARTITION BY prompt_id, responder, question) > 2
),

-- Which answer beats which, directly or through others.
beats AS (
    SELECT * FROM wins
    UNION
    SELECT
        beats.prompt_id,
        beats.responder,
        beats.question,
        beats.winner_id,
        wins.loser_id
    FROM beats
    INNER JOIN wins
        ON
            beats.prompt_id = wins.prompt_id
            AND beats.responder = wins.responder
            AND beats.question = wins.question
            AND beats.loser_id = wins.winner_id
),

circular AS (
    SELECT DISTINCT
        prompt_id,
        responder,
        question
    FROM beats
    WHERE winner_id = loser_id
)

SELECT
    decided.prompt_id,
    decided.responder,
    decided.question,
    decided.pair_id,
    decided.response_0_id,
    decided.response_1_id,
    if(decided.winner = 1, decided.agreement, 1 - decided.agreement) AS share_1
FROM decided
SEMI JOIN circular USING (prompt_id, responder, question)
ORDER BY decided.prompt_id, decided.responder, decided.question, decided.pair_id
