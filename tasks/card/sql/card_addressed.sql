-- One row per sign that an answer speaks to whoever reads it as a machine: how many answers show it, and how many of these are
-- safe by their label. A heuristic, in English: an answer about such signs shows them too, and one that hides them does not.
WITH answers AS (
    SELECT
        response_id,
        any_value(response) AS response
    FROM responses
    GROUP BY response_id
),

examined AS (
    SELECT
        response_id,
        regexp_matches(response, '<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|</?(start|end)_of_turn>') AS has_marker,
        regexp_matches(response, '"(is_safe|harm_category|severity_level|winner)"\s*:') AS has_verdict,
        regexp_matches(
            response,
            '(?i)\b(ignore|disregard|forget|override)\b[^.\n]{0,40}\b(above|previous|prior|earlier|instructions?|rubric)\b'
            || '|\b(dear|note to|attention|as) (the |a )?(judge|grader|evaluator|annotator|labell?er|moderator)\b'
            || '|\b(label|mark|rate|classify|score|judge) (this|the|my) (answer|response) (as )?(safe|harmless|better|best)\b'
        ) AS has_words
    FROM answers
),

signs AS (
    SELECT
        1 AS place,
        'marker of a turn' AS sign,
        response_id
    FROM examined
    WHERE has_marker
    UNION ALL
    SELECT
        2,
        'verdict as JSON',
        response_id
    FROM examined
    WHERE has_verdict
    UNION ALL
    SELECT
        3,
        'words to the judge',
        response_id
    FROM examined
    WHERE has_words
    UNION ALL
    SELECT
        4,
        'any of these',
        response_id
    FROM examined
    WHERE has_marker OR has_verdict OR has_words
)

SELECT
    signs.sign,
    count(*) AS answers,
    count(*) / (SELECT count(*) FROM examined) AS share,
    count(*) FILTER (WHERE labels.is_safe) AS labelled_safe
FROM signs
LEFT JOIN labels USING (response_id)
GROUP BY signs.place, signs.sign
ORDER BY signs.place
