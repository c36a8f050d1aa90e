-- One row per file below the candidate: its digest, its size, and its rows if it is Parquet.
SELECT
    substr(replace(contents.filename, '\', '/'), length($uri) + 2) AS path,
    sha256(contents.content) AS sha256,
    contents.size AS bytes,
    metadata.num_rows AS rows
FROM read_blob($uri || '/**/*') AS contents
LEFT JOIN parquet_file_metadata($uri || '/**/*.parquet') AS metadata ON contents.filename = metadata.file_name
