CREATE OR REPLACE VIEW {schema}.{table} AS SELECT * EXCLUDE (filename), parse_filename(filename, true) AS split FROM read_parquet([{files}], hive_partitioning = false, filename = true);
