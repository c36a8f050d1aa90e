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
        parts[1] IN ('prompts', 'qa', 'dual', 'single') AS in_card,
        if(len(parts) = 3, parts[1] || '-' || parts[2], NULL) AS of_responder,
        file,
        rows
    FROM parquet
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
            WHEN file IN ('prompts', 'qa', 'dual', 'single') THEN 'annotated_' || file
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
        loaded.said,
        CASE
            WHEN promised.rows IS NULL THEN 'loads and has no rows in the files'
            WHEN loaded.rows IS NULL THEN 'is not there to be loaded'
            ELSE concat(loaded.rows, ' rows are loaded, the files have ', promised.rows)
        END
    ) AS said
FROM promised
FULL JOIN loaded USING (reader, name, split)
WHERE promised.rows IS DISTINCT FROM loaded.rows OR loaded.said IS NOT NULL
ORDER BY loaded.said IS NULL, reader, name, split
