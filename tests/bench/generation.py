"""Tokens a second of the whole generation stage, next to plain `vllm.LLM.chat`, on the same requests in one run.

With a GPU the model is a Llama in the shape of 8B parameters with random weights, without one the embedded model. Both
sides have the same engine settings; the start of the engine is left out and told apart.
Run as `python -m tests.bench.generation [--requests N] [--rounds N]` in the environment of `make install-vllm`.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch

from infra import ray_cluster
from tasks.engines.vllm import Vllm
from tasks.identity import digest
from tasks.tables import COMPLETIONS, REQUESTS, Ref
from tasks.work.store import Work, obtain
from tests.tasks.rows import make

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / ".models/smollm2-135m-instruct"
LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
"""The shape of Llama 3.1 8B (arXiv 2407.21783, table 3)."""
MAX_TOKENS = 64


def write_8b(folder: Path) -> str:
    """A checkpoint without weights: the embedded model's tokenizer and settings in the shape of 8B parameters."""
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | LLAMA_8B))
    return str(folder)


def engine(folder: Path) -> Vllm:
    """What both sides run."""
    shared = {"kind": "vllm", "max_model_len": 1024, "block_rows": 16, "concurrent_blocks": 24}
    if torch.cuda.is_available():
        model = str(folder / "llama-8b") if (folder / "llama-8b").exists() else write_8b(folder / "llama-8b")
        return Vllm.model_validate(shared | {"model": model, "load_format": "dummy", "concurrent_blocks": 80})
    return Vllm.model_validate(shared | {"model": str(EMBEDDED), "device": "cpu"})


def requests(number: int) -> list[dict[str, object]]:
    """Questions of different lengths, each with its own seed."""
    draw = random.Random(1)
    words = ["garden", "bread", "river", "music", "winter", "lamp", "story", "bicycle", "teacher", "mountain"]
    return [
        {
            "request_id": f"r{n}",
            "user": f"Tell me about {' and '.join(draw.choices(words, k=draw.randint(2, 40)))}, part {n}.",
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": MAX_TOKENS,
            "seed": n,
        }
        for n in range(number)
    ]


def plain(folder: Path, number: int) -> dict[str, float]:
    """`vllm.LLM.chat` on all requests at once."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415 (only this side of the comparison may import it)

    from tasks.engines.vllm.answering import engine_arguments  # noqa: PLC0415

    settings = engine(folder)
    began = time.monotonic()
    llm = LLM(model=settings.model, **engine_arguments(settings))
    started = time.monotonic()
    asked = requests(number)
    sampling = [
        SamplingParams(**{name: request[name] for name in ("temperature", "top_p", "max_tokens", "seed")})
        for request in asked
    ]
    answers = llm.chat([[{"role": "user", "content": r["user"]}] for r in asked], sampling, use_tqdm=False)
    seconds = time.monotonic() - started
    return {
        "tokens": sum(len(answer.outputs[0].token_ids) for answer in answers),
        "seconds": seconds,
        "start": started - began,
    }


def stage(folder: Path, number: int) -> dict[str, float]:
    """The same through the store, Ray Data and block commits."""
    settings = engine(folder)
    wanted = folder / "wanted.parquet"
    pq.write_table(make(REQUESTS, requests(number)), wanted)
    work = Work("bench", settings.identity(), settings, REQUESTS, COMPLETIONS)
    with tempfile.TemporaryDirectory(dir=folder) as tables, ray_cluster.ray_cluster():
        ray_cluster.connect(2)
        asked = Ref(str(wanted), number, digest(number))
        _, cost = obtain(work, asked, tables, lambda job, tell: job.run(tell))
    return {"tokens": cost.output_tokens, "seconds": cost.seconds, "start": cost.start_seconds}


def main() -> None:
    """Run both sides in turns, each in a process of its own."""
    parser = argparse.ArgumentParser(description="Compare the generation stage with plain vLLM.")
    parser.add_argument("--requests", type=int, default=512 if not torch.cuda.is_available() else 4096)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", choices=["plain", "stage"], help="run one side and print it as JSON")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        told = {"plain": plain, "stage": stage}[arguments.side](arguments.folder, arguments.requests)
        print(json.dumps(told))
        return
    speeds: dict[str, list[float]] = {"plain": [], "stage": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for side, found in speeds.items():
                command = [sys.executable, "-m", "tests.bench.generation", "--side", side, "--folder", folder]
                output = subprocess.run(
                    [*command, "--requests", str(arguments.requests)],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                ).stdout
                told = json.loads(output.strip().splitlines()[-1])
                found.append(told["tokens"] / told["seconds"])
                print(
                    f"{side:6} {arguments.requests} requests, {told['tokens']:,} tokens in {told['seconds']:.1f} s: "
                    f"{found[-1]:,.0f} tokens/s; engine started in {told['start']:.0f} s",
                    flush=True,
                )
    print(
        f"the stage reaches {max(speeds['stage']) / max(speeds['plain']):.3f} of plain vLLM (best of {arguments.rounds})"
    )


if __name__ == "__main__":
    main()
