CREATE OR REPLACE VIEW {schema}.{table} AS FROM read_parquet([{files}], hive_partitioning = false);
