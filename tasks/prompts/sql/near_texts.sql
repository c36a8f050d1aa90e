-- One row per prompt that has enough shingles in common with others to be a near-duplicate of one: how many it has, those that stand in
-- others too (`shared`, the rarest first), and the first of them (`rare`): two near-duplicates have one of these in common, since of
-- more than the others they cannot do without.
--
-- A shingle is three words in a row; where most letters are Han or kana, which write no blanks, three signs; four in the scripts of
-- South-East Asia, which write none either. A shorter text is one shingle.
WITH screened AS (
    SELECT * FROM screened
),

compared AS (
    SELECT
        row_number() OVER () AS position,
        prompt AS text
    FROM screened
    QUALIFY reason IS NULL
),

lowered AS (
    SELECT
        position,
        lower(text) AS text,
        regexp_replace(text, '[\x00-\x7F]+', '', 'g') AS others
    FROM compared
),

kinds AS (
    SELECT
        position,
        text,
        CASE
            WHEN length(others) * 2 <= length(text) THEN 0
            WHEN length(regexp_replace(others, '[^\p{Han}\p{Hiragana}\p{Katakana}]+', '', 'g')) * 2 > length(others) THEN 3
            WHEN length(regexp_replace(others, '[^\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+', '', 'g')) * 2 > length(others) THEN 4
            ELSE 0
        END AS signs
    FROM lowered
),

split AS (
    SELECT
        position,
        text,
        signs,
        if(
            signs = 0,
            regexp_extract_all(text, '[\p{L}\p{M}\p{N}]+'),
            regexp_extract_all(text, '[\p{L}\p{N}]\p{M}*')
        ) AS words
    FROM kinds
),

shingled AS (
    SELECT
        position,
        list_distinct(
            CASE
                WHEN len(words) = 0 THEN [CAST(hash(text) >> 1 AS BIGINT)]
                WHEN len(words) < 3 + (signs // 4) THEN [CAST(hash(words) >> 1 AS BIGINT)]
                WHEN signs = 4
                    THEN
                        list_transform(
                            range(1, len(words) - 2),
                            LAMBDA i: CAST(hash(words[i], words[i + 1], words[i + 2], words[i + 3]) >> 1 AS BIGINT)
                        )
                ELSE
                    list_transform(
                        range(1, len(words) - 1),
                        LAMBDA i: CAST(hash(words[i], words[i + 1], words[i + 2]) >> 1 AS BIGINT)
                    )
            END
        ) AS shingles
    FROM split
),

flat AS (
    SELECT
        position,
        unnest(shingles) AS shingle
    FROM shingled
),

common AS (
    SELECT
        shingle,
        count(*) AS texts
    FROM flat
    GROUP BY shingle
    HAVING count(*) > 1
),

gathered AS (
    SELECT
        flat.position,
        list(flat.shingle ORDER BY common.texts ASC, flat.shingle ASC) AS shared
    FROM flat
    INNER JOIN common USING (shingle)
    GROUP BY flat.position
),

needed AS (
    SELECT
        gathered.position,
        len(shingled.shingles) AS size,
        gathered.shared,
        CAST(ceil($threshold * len(shingled.shingles) - 1e-9) AS BIGINT) AS least_shared
    FROM gathered
    INNER JOIN shingled USING (position)
)

SELECT
    position,
    size,
    shared,
    shared[1:len(shared) - least_shared + 1] AS rare
FROM needed
WHERE len(shared) >= least_shared
ORDER BY position
