-- One row per question and distinct list of opinions: how many answers or pairs two or more annotators judged in this way.
-- All votes of one annotator are one opinion. It finds an answer unsafe if at least half of its votes do; its severity is
-- the median of the unsafe votes, rounded up; it names a category if half of its unsafe votes that name any do. It prefers
-- what the mean over both orders prefers; an even opinion is none, and neither is a model's in one order alone. An annotator
-- whose unsafe votes never say a severity, or never a category, has no opinion on it, since it could only ever say `none`.
-- Annotators are numbers until subjects are counted, since lists of texts are slow. A value is from 0 to 3.
WITH annotators AS (
    SELECT
        annotator,
        annotator_kind,
        coalesce(bool_or(severity_level IS NOT NULL) FILTER (WHERE NOT is_safe), TRUE) AS gives_severity,
        coalesce(bool_or(len(harm_category) > 0) FILTER (WHERE NOT is_safe), TRUE) AS gives_categories,
        CAST(row_number() OVER (ORDER BY annotator_kind, annotator) AS INTEGER) AS number
    FROM verdicts
    WHERE problem IS NULL
    GROUP BY annotator, annotator_kind
),

votes AS (
    SELECT
        verdicts.subject_id,
        verdicts.question,
        verdicts.flipped,
        verdicts.is_safe,
        verdicts.severity_level,
        verdicts.harm_category,
        verdicts.winner,
        annotators.* EXCLUDE (annotator)
    FROM verdicts
    INNER JOIN annotators USING (annotator, annotator_kind)
    WHERE verdicts.problem IS NULL
),

harm_opinions AS (
    SELECT
        subject_id,
        number,
        any_value(gives_severity) AS gives_severity,
        any_value(gives_categories) AS gives_categories,
        avg(CAST(NOT is_safe AS INTEGER)) >= 0.5 AS is_unsafe,
        ceil(median(severity_level) FILTER (WHERE NOT is_safe)) AS severity,
        count(*) FILTER (WHERE NOT is_safe AND len(harm_category) > 0) AS naming_votes
    FROM votes
    WHERE question = 'harm'
    GROUP BY subject_id, number
    QUALIFY count(*) OVER (PARTITION BY subject_id) > 1
),

by_order AS (
    SELECT
        subject_id,
        question,
        number,
        annotator_kind,
        avg(winner) AS share_1
    FROM votes
    WHERE winner IS NOT NULL
    GROUP BY subject_id, question, number, annotator_kind, flipped
),

opinions AS (
    SELECT
        subject_id,
        'safety' AS question,
        number,
        CAST(is_unsafe AS INTEGER) AS value
    FROM harm_opinions
    UNION ALL
    SELECT
        subject_id,
        'severity',
        number,
        CAST(if(is_unsafe, severity, 0) AS INTEGER)
    FROM harm_opinions
    WHERE gives_severity AND (NOT is_unsafe OR severity IS NOT NULL)
    UNION ALL
    SELECT
        subject_id,
        question,
        number,
        CAST(avg(share_1) > 0.5 AS INTEGER)
    FROM by_order
    GROUP BY subject_id, question, number, annotator_kind
    HAVING (annotator_kind = 'person' OR count(*) = 2) AND avg(share_1) <> 0.5
),

said AS (
    SELECT
        question,
        list_sort(list(4 * number + value)) AS codes
    FROM opinions
    GROUP BY question, subject_id
    HAVING count(*) > 1
),

-- Who may name categories of an answer, and for each category that anybody names, who does. The others are the rest.
namers AS (
    SELECT
        subject_id,
        list_sort(list(number)) AS asked
    FROM harm_opinions
    WHERE gives_categories AND NOT (is_unsafe AND naming_votes = 0)
    GROUP BY subject_id
    HAVING count(*) > 1
),

named AS (
    SELECT
        subject_id,
        number,
        unnest(harm_category) AS category
    FROM votes
    WHERE question = 'harm' AND NOT is_safe
),

named_often AS (
    SELECT
        named.subject_id,
        named.number,
        named.category
    FROM named
    INNER JOIN harm_opinions USING (subject_id, number)
    WHERE harm_opinions.is_unsafe AND harm_opinions.gives_categories
    GROUP BY named.subject_id, named.number, named.category
    HAVING 2 * count(*) >= any_value(harm_opinions.naming_votes)
),

naming AS (
    SELECT
        subject_id,
        category,
        list_sort(list(number)) AS names_it
    FROM named_often
    GROUP BY subject_id, category
),

named_patterns AS (
    SELECT
        naming.category,
        namers.asked,
        naming.names_it,
        count(*) AS subjects
    FROM naming
    INNER JOIN namers USING (subject_id)
    GROUP BY naming.category, namers.asked, naming.names_it
),

asked_patterns AS (
    SELECT
        categories.category,
        namers.asked,
        count(*) AS subjects
    FROM namers
    CROSS JOIN (SELECT unnest($harm_categories) AS category) AS categories
    GROUP BY categories.category, namers.asked
),

category_patterns AS (
    SELECT * FROM named_patterns
    UNION ALL
    SELECT
        asked_patterns.category,
        asked_patterns.asked,
        [],
        asked_patterns.subjects - coalesce(sum(named_patterns.subjects), 0)
    FROM asked_patterns
    LEFT JOIN named_patterns USING (category, asked)
    GROUP BY asked_patterns.category, asked_patterns.asked, asked_patterns.subjects
),

category_opinions AS (
    SELECT
        category,
        names_it,
        asked,
        subjects,
        unnest(asked) AS number
    FROM category_patterns
    WHERE subjects > 0
),

patterns AS (
    SELECT
        question,
        codes,
        count(*) AS subjects
    FROM said
    GROUP BY question, codes
    UNION ALL
    SELECT
        category,
        list_sort(list(4 * number + CAST(list_contains(names_it, number) AS INTEGER))),
        subjects
    FROM category_opinions
    GROUP BY category, names_it, asked, subjects
),

coded AS (
    SELECT
        question,
        codes,
        subjects,
        unnest(codes) AS code
    FROM patterns
)

SELECT
    coded.question,
    list(
        struct_pack(
            annotator := annotators.annotator,
            kind := annotators.annotator_kind,
            value := CAST(coded.code % 4 AS TINYINT)
        )
        ORDER BY coded.code
    ) AS opinions,
    CAST(any_value(coded.subjects) AS BIGINT) AS subjects
FROM coded
INNER JOIN annotators ON coded.code // 4 = annotators.number
GROUP BY coded.question, coded.codes
ORDER BY ALL
