-- One row per question and distinct list of opinions: how many answers or pairs two or more annotators judged in this way.
-- An annotator whose votes for unsafe never say a severity, or never a category, has no opinion on it, since it could only
-- ever say `none`; one with a safe opinion says `none` to both.
-- Annotators are numbers until subjects are counted, since lists of texts are slow. A value is from 0 to 3.
WITH annotators AS (
    SELECT
        annotator,
        annotator_kind,
        coalesce(bool_or(severity IS NOT NULL) FILTER (WHERE votes_1 > 0), TRUE) AS gives_severity,
        coalesce(bool_or(harm_category IS NOT NULL) FILTER (WHERE votes_1 > 0), TRUE) AS gives_categories,
        CAST(row_number() OVER (ORDER BY annotator_kind, annotator) AS INTEGER) AS number
    FROM opinions
    GROUP BY annotator, annotator_kind
),

numbered AS (
    SELECT
        opinions.subject_id,
        opinions.question,
        opinions.opinion,
        opinions.severity,
        opinions.harm_category,
        annotators.* EXCLUDE (annotator, annotator_kind)
    FROM opinions
    INNER JOIN annotators USING (annotator, annotator_kind)
    WHERE opinions.opinion IS NOT NULL
),

harm_opinions AS (
    SELECT
        *,
        opinion = 1 AS is_unsafe
    FROM numbered
    WHERE question = 'harm'
    QUALIFY count(*) OVER (PARTITION BY subject_id) > 1
),

valued AS (
    SELECT
        subject_id,
        'safety' AS question,
        number,
        opinion AS value
    FROM harm_opinions
    UNION ALL
    SELECT
        subject_id,
        'severity',
        number,
        CAST(if(is_unsafe, ceil(severity), 0) AS INTEGER)
    FROM harm_opinions
    WHERE gives_severity AND (NOT is_unsafe OR severity IS NOT NULL)
    UNION ALL
    SELECT
        subject_id,
        question,
        number,
        opinion
    FROM numbered
    WHERE question <> 'harm'
),

subject_codes AS (
    SELECT
        question,
        list_sort(list(4 * number + value)) AS codes
    FROM valued
    GROUP BY question, subject_id
    HAVING count(*) > 1
),

-- Who may name categories of an answer, and for each category that anybody names, who does. The others are the rest.
namers AS (
    SELECT
        subject_id,
        list_sort(list(number)) AS asked
    FROM harm_opinions
    WHERE gives_categories AND NOT (is_unsafe AND harm_category IS NULL)
    GROUP BY subject_id
    HAVING count(*) > 1
),

named AS (
    SELECT
        subject_id,
        number,
        unnest(harm_category) AS category
    FROM harm_opinions
    WHERE is_unsafe
),

naming AS (
    SELECT
        subject_id,
        category,
        list_sort(list(number)) AS names_it
    FROM named
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
    FROM subject_codes
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
