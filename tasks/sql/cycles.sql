-- One row per pair and question of every prompt and responder whose preferences go round in a circle: what was preferred.
-- A circle of any length among answers that are all compared holds one of three, so three are looked for.
WITH decided AS (
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
),

circles AS (
    SELECT DISTINCT
        a.prompt_id,
        a.responder,
        a.question
    FROM wins AS a
    INNER JOIN wins AS b
        ON
            a.prompt_id = b.prompt_id
            AND a.responder = b.responder
            AND a.question = b.question
            AND a.loser_id = b.winner_id
    INNER JOIN wins AS c
        ON
            b.prompt_id = c.prompt_id
            AND b.responder = c.responder
            AND b.question = c.question
            AND b.loser_id = c.winner_id
            AND a.winner_id = c.loser_id
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
SEMI JOIN circles USING (prompt_id, responder, question)
ORDER BY decided.prompt_id, decided.responder, decided.question, decided.pair_id
