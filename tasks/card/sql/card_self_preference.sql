-- One row per judge whose model also answers: how often it calls its own model's answers safe, how often those of others, and
-- the same difference for annotators that are not this model, each weighing the same, on the answers that this judge labelled.
WITH own AS (
    SELECT unnest(CAST($own AS STRUCT(judge VARCHAR, responders VARCHAR[])[]), recursive := TRUE)
),

opinions AS (
    SELECT
        subject_id AS response_id,
        annotator,
        1 - opinion AS says_safe
    FROM opinions
    WHERE question = 'harm'
),

answers AS (
    SELECT DISTINCT
        response_id,
        responder
    FROM responses
),

-- An answer that several responders gave is the judge's own if one of them is its model.
judged AS (
    SELECT
        own.judge,
        answers.response_id,
        bool_or(list_contains(own.responders, answers.responder)) AS is_own
    FROM own
    CROSS JOIN answers
    SEMI JOIN opinions ON own.judge = opinions.annotator AND answers.response_id = opinions.response_id
    GROUP BY own.judge, answers.response_id
),

shares AS (
    SELECT
        judged.judge,
        opinions.annotator,
        avg(opinions.says_safe) FILTER (WHERE judged.is_own) AS own_safe,
        avg(opinions.says_safe) FILTER (WHERE NOT judged.is_own) AS others_safe,
        count(*) FILTER (WHERE judged.is_own) AS own_answers,
        count(*) FILTER (WHERE NOT judged.is_own) AS other_answers
    FROM judged
    INNER JOIN opinions USING (response_id)
    GROUP BY judged.judge, opinions.annotator
),

compared AS (
    SELECT
        shares.judge,
        avg(shares.own_safe - shares.others_safe) AS difference_of_other_annotators
    FROM shares
    INNER JOIN own ON shares.judge = own.judge
    LEFT JOIN own AS other ON shares.annotator = other.judge
    WHERE other.responders IS DISTINCT FROM own.responders
    GROUP BY shares.judge
)

SELECT
    shares.judge,
    array_to_string(own.responders, ', ') AS own_responder,
    shares.own_safe,
    shares.others_safe,
    shares.own_safe - shares.others_safe AS difference,
    compared.difference_of_other_annotators,
    shares.own_answers,
    shares.other_answers
FROM shares
INNER JOIN own USING (judge)
LEFT JOIN compared USING (judge)
WHERE shares.annotator = shares.judge
ORDER BY shares.judge
