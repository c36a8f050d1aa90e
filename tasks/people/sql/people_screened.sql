-- One row per annotation of a person and question: the verdict, or the reason why it does not count.
-- Of one annotation the latest state counts; of two states with the same time one was edited, and nobody knows which, so
-- neither counts. Of several annotations of one subject by one person the latest one that is valid counts.
WITH statements AS (
    SELECT * REPLACE (coalesce(try_cast(updated_at AS TIMESTAMP), CAST('epoch' AS TIMESTAMP)) AS updated_at)
    FROM statements
    WHERE what = $what
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY updated_at DESC, file ASC) = 1
),

ids AS (
    SELECT COLUMNS('^(response|pair)_id$') AS subject_id
    FROM subjects
),

known AS (
    SELECT DISTINCT subject_id
    FROM ids
    SEMI JOIN statements USING (subject_id)
),

unknown AS (
    SELECT DISTINCT prompt_id
    FROM statements
    ANTI JOIN known USING (subject_id)
),

shown AS (
    SELECT
        COLUMNS('^(response|pair)_id$') AS subject_id,
        prompt,
        responder,
        COLUMNS('^response(_0)?$') AS first_text,
        COLUMNS('^response(_1)?$') AS second_text
    FROM subjects
    SEMI JOIN unknown USING (prompt_id)
),

-- Before 2026-12 an answer was released, and shown to people, as its plain text. An id that no answer has as it came is that of
-- the one answer, or pair, whose plain text has it; of a pair, whichever of the two came first then.
plain AS (
    SELECT
        subject_id,
        responder,
        response_id(prompt, normalise_text(first_text)) AS first_id,
        response_id(prompt, normalise_text(second_text)) AS second_id
    FROM shown
),

known_by_plain_text AS (
    SELECT
        if(
            $what = 'labels', first_id, pair_id(responder, least(first_id, second_id), greatest(first_id, second_id))
        ) AS known_as,
        any_value(subject_id) AS subject_id,
        bool_or(first_id > second_id) AS is_turned
    FROM plain
    GROUP BY known_as
    HAVING count(DISTINCT subject_id) = 1
),

tried AS (
    SELECT
        statements.* REPLACE (
            coalesce(known_by_plain_text.subject_id, statements.subject_id) AS subject_id,
            statements.flipped <> coalesce(known_by_plain_text.is_turned, FALSE) AS flipped
        ),
        list_distinct(statements.harm_category) AS categories,
        try_cast(statements.severity[1] AS TINYINT) AS level,
        statements.safety = ['safe'] AS is_safe,
        CASE
            WHEN statements.fault IS NOT NULL THEN statements.fault
            WHEN coalesce(known.subject_id, known_by_plain_text.subject_id) IS NULL
                THEN if($what = 'labels', 'unknown answer', 'unknown pair')
            WHEN coalesce(statements.rubric <> $rubric, TRUE) THEN 'other rubric version'
            WHEN statements.found_id <> statements.subject_id THEN 'edited task'
        END AS task_problem
    FROM statements
    LEFT JOIN known ON statements.subject_id = known.subject_id
    LEFT JOIN known_by_plain_text ON known.subject_id IS NULL AND statements.subject_id = known_by_plain_text.known_as
),

valued AS (
    SELECT
        *,
        CASE
            WHEN annotator IS NULL THEN 'no annotator'
            WHEN question <> 'harm' AND NOT list_contains([['A'], ['B']], winner) THEN 'no winner of two'
            WHEN question <> 'harm' THEN NULL
            WHEN NOT list_contains([['safe'], ['unsafe']], safety) THEN 'neither safe nor unsafe'
            WHEN NOT list_has_all($harm_categories, categories) THEN 'unknown harm category'
            WHEN len(severity) > 1 OR (len(severity) = 1 AND coalesce(level NOT BETWEEN 1 AND 3, TRUE)) THEN 'severity not 1, 2 or 3'
            WHEN is_safe AND len(categories) > 0 THEN 'safe with a harm category'
            WHEN is_safe AND len(severity) > 0 THEN 'safe with a severity'
            WHEN is_safe THEN NULL
            WHEN len(categories) = 0 THEN 'unsafe without a harm category'
            WHEN len(severity) = 0 THEN 'unsafe without a severity'
        END AS flaw
    FROM tried
),

checked AS (
    SELECT
        * EXCLUDE (flaw),
        CASE
            WHEN task_problem IS NOT NULL THEN task_problem
            WHEN was_cancelled THEN 'skipped'
            WHEN len(if(question = 'harm', safety, winner)) = 0 THEN 'half finished'
            WHEN flaw IS NOT NULL THEN 'impossible value'
        END AS problem,
        if(problem = 'impossible value', flaw, NULL) AS detail
    FROM valued
),

compared AS (
    SELECT
        *,
        max(updated_at) FILTER (WHERE task_problem IS NULL) OVER same_annotation AS latest,
        count(*) FILTER (WHERE problem IS NULL) OVER same_time AS states
    FROM checked
    WINDOW
        same_annotation AS (PARTITION BY annotator, subject_id, question, annotation),
        same_time AS (PARTITION BY annotator, subject_id, question, annotation, updated_at)
),

standing AS (
    SELECT
        * EXCLUDE (problem),
        CASE
            WHEN problem IS NOT NULL THEN problem
            WHEN updated_at < latest THEN 'annotated twice'
            WHEN states > 1 THEN 'edited annotation'
        END AS problem
    FROM compared
),

ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY annotator, subject_id, question, problem IS NULL
            ORDER BY updated_at DESC, try_cast(annotation AS BIGINT) DESC, id ASC
        ) AS place
    FROM standing
),

decided AS (
    SELECT
        * EXCLUDE (problem),
        if(problem IS NULL AND place > 1, 'annotated twice', problem) AS reason
    FROM ranked
)

SELECT
    id,
    id AS verdict_id,
    subject_id,
    question,
    annotator,
    'person' AS annotator_kind,
    rubric,
    CAST(0 AS BIGINT) AS vote,
    CAST(0 AS BIGINT) AS attempt,
    flipped,
    CASE WHEN reason IS NULL AND question = 'harm' THEN is_safe END AS is_safe,
    CAST(CASE WHEN reason IS NULL AND question = 'harm' THEN if(is_safe, 0, level) END AS TINYINT) AS severity_level,
    CASE WHEN reason IS NULL AND question = 'harm' THEN categories END AS harm_category,
    CAST(CASE WHEN reason IS NULL AND question <> 'harm' THEN if((winner = ['A']) = flipped, 1, 0) END AS TINYINT) AS winner,
    CAST(NULL AS DOUBLE) AS confidence,
    raw,
    CAST(NULL AS VARCHAR) AS problem,
    reason,
    if(reason IS NULL, NULL, concat_ws(', ', detail, 'annotation ' || annotation, annotator, 'file ' || file)) AS evidence
FROM decided
ORDER BY subject_id, question, annotator, id
