"""Cut (a) with SafePairs' own stages: prompts, answers, labels, pairs, from Parquet to Parquet.

Run as `python -m tests.bench.stages CONFIG FOLDER`; prints its seconds, without the start of Ray, as JSON.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from infra import ray_cluster
from tasks import warehouse
from tasks.config import load
from tasks.judging.labels import label_responses
from tasks.judging.pairs import pair_responses
from tasks.prompts.prompts import build_prompts
from tasks.responses.responses import answer_prompts
from tasks.tables import RESPONSES
from tasks.work.job import Job, Tell


def run(job: Job, tell: Tell) -> None:
    """On the cluster of this process."""
    job.run(tell)


def main(path: str, folder: str) -> None:
    """Run the four stages."""
    config = load(path)
    with ray_cluster.ray_cluster():
        ray_cluster.connect(4)
        started = time.monotonic()
        prompts = build_prompts(config, folder).tables["prompts"]
        with ThreadPoolExecutor(config.cluster.jobs) as at_once:
            answers = [at_once.submit(answer_prompts, config, one, prompts, folder, run) for one in config.responders]
            answered = [answer.result()[0] for answer in answers]
        responses = warehouse.build(RESPONSES, folder, "kept", {"screened": answered})
        labels = label_responses(config, responses, (), folder, run).tables["labels"]
        pairs = pair_responses(config, responses, labels, folder).tables["pairs"]
        print(json.dumps({"seconds": time.monotonic() - started, "pairs": pairs.rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
