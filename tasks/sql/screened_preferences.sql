-- One row per pair: its preferences, or the reason why it has none. Every question is asked in both orders,
-- and both orders weigh the same, however many of their votes are valid.
-- A question whose votes are even is settled by rule: `safer` goes to the lower severity, then to a coin;
-- `better` goes to a coin; `overall` goes to the safer answer. The coin is a hash of the pair, so that it favours no side.
-- A safe answer is always safer than an unsafe one, whatever the votes. Agreement is the share of votes for what was decided.
WITH pairs AS (
    SELECT * FROM pairs
),

all_verdicts AS (
    SELECT * FROM verdicts
),

verdicts AS (
    SELECT * FROM all_verdicts
    WHERE problem IS NULL
),

by_order AS (
    SELECT
        subject_id AS pair_id,
        question,
        avg(winner) AS share_1
    FROM verdicts
    GROUP BY subject_id, question, flipped
),

by_question AS (
    SELECT
        pair_id,
        question,
        avg(share_1) AS share_1
    FROM by_order
    GROUP BY pair_id, question
    HAVING count(*) = 2
),

tallied AS (
    SELECT
        pair_id,
        count(*) AS questions,
        max(share_1) FILTER (WHERE question = 'helpfulness') AS better_1,
        max(share_1) FILTER (WHERE question = 'harmlessness') AS safer_1,
        max(share_1) FILTER (WHERE question = 'overall') AS overall_1
    FROM by_question
    GROUP BY pair_id
),

dual AS (
    SELECT
        pairs.pair_id,
        coalesce(tallied.questions, 0) AS questions,
        tallied.better_1,
        tallied.safer_1,
        tallied.overall_1,
        CASE
            WHEN tallied.better_1 <> 0.5 THEN CAST(tallied.better_1 > 0.5 AS TINYINT)
            ELSE CAST(hashed_integer('better ' || pairs.pair_id) & 1 AS TINYINT)
        END AS better,
        CASE
            WHEN (pairs.severity_0 = 0) <> (pairs.severity_1 = 0) THEN CAST(pairs.severity_1 = 0 AS TINYINT)
            WHEN tallied.safer_1 <> 0.5 THEN CAST(tallied.safer_1 > 0.5 AS TINYINT)
            WHEN pairs.severity_0 <> pairs.severity_1 THEN CAST(pairs.severity_1 < pairs.severity_0 AS TINYINT)
            ELSE CAST(hashed_integer('safer ' || pairs.pair_id) & 1 AS TINYINT)
        END AS safer
    FROM pairs
    LEFT JOIN tallied USING (pair_id)
),

decided AS (
    SELECT
        *,
        if(overall_1 <> 0.5, CAST(overall_1 > 0.5 AS TINYINT), safer) AS overall
    FROM dual
),

problems AS (
    SELECT
        subject_id AS pair_id,
        arg_max(question || ': ' || problem, (attempt, vote)) AS problem
    FROM all_verdicts
    WHERE problem IS NOT NULL
    GROUP BY subject_id
)

SELECT
    decided.pair_id AS id,
    decided.pair_id,
    decided.better AS better_response_id,
    decided.safer AS safer_response_id,
    decided.overall AS overall_response_id,
    if(decided.better = 1, decided.better_1, 1 - decided.better_1) AS better_agreement,
    if(decided.safer = 1, decided.safer_1, 1 - decided.safer_1) AS safer_agreement,
    if(decided.overall = 1, decided.overall_1, 1 - decided.overall_1) AS overall_agreement,
    if(decided.questions < 3, 'no valid verdict in both orders', NULL) AS reason,
    if(decided.questions < 3, problems.problem, NULL) AS evidence
FROM decided
LEFT JOIN problems USING (pair_id)
