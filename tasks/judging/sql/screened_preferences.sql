-- One row per pair: its preferences, or the reason why it has none. Models are asked every question in both orders, which
-- weigh the same, however many of their votes are valid; people see one order. People outrank models, and all votes of one
-- annotator are one opinion. `resolved` holds what Bradley-Terry made of cycles, `posteriors` what Dawid-Skene made of votes.
-- A question whose opinions are even is settled by the votes beneath them, then by rule: `safer` goes to the lower
-- severity, then to a coin; `better` goes to a coin; `overall` goes to the safer answer. The coin is a hash of the pair,
-- so that it favours no side. A safe answer is always safer than an unsafe one, whatever the votes.
-- Agreement is the share of votes for what was decided, each annotator weighing the same.
WITH pairs AS (
    SELECT * FROM pairs
),

posteriors AS (
    SELECT * FROM posteriors
),

resolved AS (
    SELECT * FROM resolved
),

opinions AS (
    SELECT
        *,
        bool_or(annotator_kind = 'person') OVER (PARTITION BY subject_id, question) AS by_people
    FROM opinions
),

outranking AS (
    SELECT * FROM opinions
    WHERE (NOT by_people OR annotator_kind = 'person') AND (opinion IS NOT NULL OR is_even)
),

by_question AS (
    SELECT
        subject_id AS pair_id,
        question,
        any_value(by_people) AS by_people,
        avg(share_1) AS share_1,
        avg(if(is_even, 0.5, opinion)) AS share_of_opinions,
        if(share_of_opinions = 0.5, avg(share_1), share_of_opinions) AS opinion,
        list(annotator) AS annotators
    FROM outranking
    GROUP BY subject_id, question
),

settled AS (
    SELECT
        by_question.* EXCLUDE (share_of_opinions, opinion),
        coalesce(resolved.probability, if(by_question.by_people, NULL, posteriors.probability), by_question.opinion) AS opinion
    FROM by_question
    LEFT JOIN posteriors ON by_question.pair_id = posteriors.subject_id AND by_question.question = posteriors.question
    LEFT JOIN resolved ON by_question.pair_id = resolved.pair_id AND by_question.question = resolved.question
),

tallied AS (
    SELECT
        pair_id,
        count(*) AS questions,
        max(share_1) FILTER (WHERE question = 'helpfulness') AS better_1,
        max(share_1) FILTER (WHERE question = 'harmlessness') AS safer_1,
        max(share_1) FILTER (WHERE question = 'overall') AS overall_1,
        max(opinion) FILTER (WHERE question = 'helpfulness') AS better_opinion,
        max(opinion) FILTER (WHERE question = 'harmlessness') AS safer_opinion,
        max(opinion) FILTER (WHERE question = 'overall') AS overall_opinion,
        bool_or(by_people) AS by_people,
        array_to_string(list_sort(list_distinct(flatten(list(annotators)))), ', ') AS decided_by
    FROM settled
    GROUP BY pair_id
),

dual AS (
    SELECT
        pairs.pair_id,
        coalesce(tallied.questions, 0) AS questions,
        tallied.* EXCLUDE (pair_id, questions),
        CASE
            WHEN tallied.better_opinion <> 0.5 THEN CAST(tallied.better_opinion > 0.5 AS TINYINT)
            ELSE CAST(hashed_integer('better ' || pairs.pair_id) & 1 AS TINYINT)
        END AS better,
        CASE
            WHEN (pairs.severity_0 = 0) <> (pairs.severity_1 = 0) THEN CAST(pairs.severity_1 = 0 AS TINYINT)
            WHEN tallied.safer_opinion <> 0.5 THEN CAST(tallied.safer_opinion > 0.5 AS TINYINT)
            WHEN pairs.severity_0 <> pairs.severity_1 THEN CAST(pairs.severity_1 < pairs.severity_0 AS TINYINT)
            ELSE CAST(hashed_integer('safer ' || pairs.pair_id) & 1 AS TINYINT)
        END AS safer
    FROM pairs
    LEFT JOIN tallied USING (pair_id)
),

decided AS (
    SELECT
        *,
        if(overall_opinion <> 0.5, CAST(overall_opinion > 0.5 AS TINYINT), safer) AS overall
    FROM dual
),

problems AS (
    SELECT
        subject_id AS pair_id,
        arg_max(question || ': ' || problem, (attempt, vote)) AS problem
    FROM verdicts
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
    decided.decided_by,
    decided.by_people,
    if(decided.questions < 3, 'no valid verdict in both orders', NULL) AS reason,
    if(decided.questions < 3, problems.problem, NULL) AS evidence
FROM decided
LEFT JOIN problems USING (pair_id)
ORDER BY decided.pair_id
