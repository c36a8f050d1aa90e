"""Cut (a) as a script by hand: Ray Data generates and labels in one pass, DuckDB pairs; nothing can be resumed.

Run as `python -m tests.bench.bare CONFIG FOLDER`; prints its seconds, without the start of Ray, as JSON.
"""

import hashlib
import json
import random
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import ray.data

from infra import ray_cluster
from tasks.config import load
from tasks.engines.scripted.answering import label, story


def generate(batch: pa.Table) -> pa.Table:
    """Six answers a prompt."""
    rows = []
    for prompt in batch["prompt"].to_pylist():
        for responder in range(3):
            for sample in range(2):
                seed = int(hashlib.sha256(f"{responder} {sample} {prompt}".encode()).hexdigest()[:8], 16)
                response = story(random.Random(seed))
                rows.append({"prompt": prompt, "responder": responder, "sample": sample, "response": response})
    return pa.Table.from_pylist(rows)


def judge(batch: pa.Table) -> pa.Table:
    """A verdict an answer."""
    seeds = [int(hashlib.sha256(response.encode()).hexdigest()[:8], 16) for response in batch["response"].to_pylist()]
    verdicts = [json.dumps(label(random.Random(seed))) for seed in seeds]
    return batch.append_column("verdict", pa.array(verdicts))


PAIRS = """
COPY (
    WITH labelled AS (
        SELECT *, json_extract_string(verdict, '$.verdict.is_safe') = 'true' AS is_safe,
            json_extract_string(verdict, '$.verdict.harm_category[*]') AS harm_category,
            coalesce(try_cast(json_extract_string(verdict, '$.verdict.severity_level') AS TINYINT), 0) AS severity_level
        FROM read_parquet($answers)
    )
    SELECT a.prompt, a.responder, a.response AS response_0, b.response AS response_1,
        a.is_safe AS is_response_0_safe, b.is_safe AS is_response_1_safe,
        a.harm_category AS harm_0, b.harm_category AS harm_1, a.severity_level AS severity_0, b.severity_level AS severity_1
    FROM labelled AS a INNER JOIN labelled AS b
        ON a.prompt = b.prompt AND a.responder = b.responder AND a.sample < b.sample
) TO $pairs (FORMAT parquet, COMPRESSION zstd)
"""


def main(path: str, folder: str) -> None:
    """Generate, label, pair, write."""
    config = load(path)
    with ray_cluster.ray_cluster():
        ray_cluster.connect(4)
        started = time.monotonic()
        prompts = ray.data.read_parquet(str(config.prompts.source)).repartition(target_num_rows_per_block=2048)
        answers = prompts.map_batches(generate, batch_format="pyarrow", batch_size=None)
        answers.map_batches(judge, batch_format="pyarrow", batch_size=None).write_parquet(f"{folder}/answers")
        Path(folder).mkdir(exist_ok=True)
        pairs = {"answers": f"{folder}/answers/*.parquet", "pairs": f"{folder}/pairs.parquet"}
        duckdb.execute(PAIRS, pairs)
        print(json.dumps({"seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
