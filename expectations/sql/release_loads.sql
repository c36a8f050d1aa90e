-- Every config and split of the card loads with `datasets`, and every view of the catalog with DuckDB, with all their rows.
WITH parquet AS (
    SELECT
        path.split('/') AS parts,
        parse_filename(path, TRUE) AS file,
        rows
    FROM files
    WHERE path LIKE '%.parquet'
),

located AS (
    SELECT
        parts[1] AS folder,
        len(parts) > 1 AND parts[1] <> 'annotations' AS in_card,
        if(len(parts) = 3, parts[1] || '-' || parts[2], NULL) AS of_responder,
        file,
        rows
    FROM parquet
),

datasets AS (
    SELECT DISTINCT folder
    FROM located
    WHERE in_card
),

expected AS (
    SELECT
        'datasets' AS reader,
        folder AS name,
        file AS split,
        rows
    FROM located
    WHERE in_card
    UNION ALL
    SELECT
        'datasets',
        of_responder,
        file,
        rows
    FROM located
    WHERE in_card AND of_responder IS NOT NULL
    UNION ALL
    SELECT
        'catalog',
        CASE
            WHEN in_card THEN folder
            WHEN file IN (SELECT folder FROM datasets) THEN 'annotated_' || file
            ELSE file
        END,
        if(in_card, file, ''),
        rows
    FROM located
),

promised AS (
    SELECT
        reader,
        name,
        split,
        sum(rows) AS rows
    FROM expected
    GROUP BY reader, name, split
    HAVING sum(rows) > 0 OR split = ''
)

SELECT
    reader,
    name,
    split,
    promised.rows AS promised,
    loaded.rows AS loaded,
    concat_ws(' ', reader, nullif(name, ''), nullif(split, '')) || ': ' || coalesce(
        loaded.error,
        CASE
            WHEN promised.rows IS NULL THEN 'loads and has no rows in the files'
            WHEN loaded.rows IS NULL THEN 'is not there to be loaded'
            ELSE concat(loaded.rows, ' rows are loaded, the files have ', promised.rows)
        END
    ) AS said
FROM promised
FULL JOIN loaded USING (reader, name, split)
WHERE promised.rows IS DISTINCT FROM loaded.rows OR loaded.error IS NOT NULL
ORDER BY loaded.error IS NULL, reader, name, split
