-- `datasets` loads the release from where it stands; if not, `[`, `::` or `**` in the folder's path is a pattern to it: load a copy.
SELECT
    name,
    split
FROM loaded
WHERE NOT in_place
