-- Each data file has the digest that the manifest will give it, and no other file is there.
SELECT coalesce(files.path, found.path) AS path
FROM files
FULL JOIN found USING (path)
WHERE
    files.path IS NULL
    OR found.path IS NULL
    OR files.sha256 <> found.sha256
    OR files.bytes <> found.bytes
    OR files.rows IS DISTINCT FROM found.rows
