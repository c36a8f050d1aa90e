"""What SafePairs costs beside the models: 44,600 prompts, three responders, two samples each: 267,600 answers.

Two cuts, both with the scripted engine. (a) Generate, label, pair and write Parquet, next to a bare script of Ray Data
and DuckDB that does the same with the same canned answers, in turns. (b) The whole flow: blocks committed as they are
answered, the diversity step, preferences in both orders, the gate, publishing; then the same again with all answered.
Run as `python -m tests.bench.overhead [--prompts N] [--rounds N]`; memory is the sum over all processes of what each
has for itself plus its share of what is shared (PSS).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
PROMPTS = 44_600
RESPONDERS = 3
BLOCK_ROWS = 20_000

CONFIG = """
name = "bench"
storage = "{storage}"

[prompts]
source = "{prompts}"

[diversity]
embedder = {{ kind = "word-counts", block_rows = {block_rows} }}

[cluster]
kind = "local"
cpus = 4
jobs = 3

[[judges]]
name = "judge"
engine = {{ kind = "scripted", replicas = 2, block_rows = {block_rows} }}
attempts = 1
"""
RESPONDER = """
[[responders]]
name = "scripted-{number}"
engine = {{ kind = "scripted", block_rows = {block_rows} }}
samples = 1
"""


def write_config(folder: Path, prompts: int, block_rows: int) -> Path:
    """The configuration of both cuts, and its prompts, in `folder`."""
    source = folder / "prompts.parquet"
    pq.write_table(
        pa.table({"prompt": [f"How do I look after {n} tulips in a garden?" for n in range(prompts)]}), source
    )
    text = CONFIG.format(storage=folder / "storage", prompts=source, block_rows=block_rows)
    responders = (RESPONDER.format(number=number, block_rows=block_rows) for number in range(RESPONDERS))
    config = folder / "config.toml"
    config.write_text(text + "".join(responders))
    return config


class Memory:
    """Samples the memory of a process and all below it, in MiB, until it is told to stop."""

    def __init__(self, process: int) -> None:
        self.process = psutil.Process(process)
        self.peak = self.peak_since = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self) -> None:
        """Look at all processes twice a second."""
        while not self.ended.wait(0.5):
            now = 0.0
            try:
                for process in [self.process, *self.process.children(recursive=True)]:
                    try:
                        now += process.memory_full_info().pss / 2**20
                    except psutil.Error:
                        continue
            except psutil.Error:
                return
            self.peak, self.peak_since = max(self.peak, now), max(self.peak_since, now)

    def lap(self) -> float:
        """The peak since the last lap."""
        peak, self.peak_since = self.peak_since, 0.0
        return peak


def run(*arguments: str, heard: Callable[[str, float, Memory], None]) -> tuple[float, float]:
    """Run Python with these arguments, passing on its lines with the seconds since its start; seconds and peak MiB."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    memory = Memory(process.pid)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        heard(line, time.monotonic() - started, memory)
    if process.wait():
        sys.exit("".join(said[-40:]))
    return time.monotonic() - started, memory.peak


def like_for_like(folder: Path, config: Path, rounds: int) -> None:
    """Cut (a): both sides in turns, each in a process and on a cluster of its own; their own clocks start after that."""
    sides: dict[str, list[tuple[float, float]]] = {"bare": [], "stages": []}
    for number in range(rounds):
        for side, taken in sides.items():
            target = folder / f"{side}-{number}"
            seconds: list[float] = []

            def heard(line: str, _: float, __: Memory, seconds: list[float] = seconds) -> None:
                if line.startswith('{"seconds"'):
                    seconds.append(json.loads(line)["seconds"])

            _, peak = run("-m", f"tests.bench.{side}", str(config), str(target), heard=heard)
            taken.append((seconds[0], peak))
    print("(a) generate, label, pair, write Parquet: seconds without the start of Ray; peak MiB")
    for side, taken in sides.items():
        print(f"    {side:8}", "  ".join(f"{seconds:6.1f} s {peak:6.0f} MiB" for seconds, peak in taken))
    best = {side: min(seconds for seconds, _ in taken) for side, taken in sides.items()}
    print(f"    stages take {best['stages'] / best['bare']:.2f} times the bare script (best of {rounds})")


def measured(name: str, seconds: float, peak: float) -> str:
    """One stage as a line, which `compare.py` reads."""
    return f"    {name:45} {seconds:6.1f} s {peak:6.0f} MiB"


def whole(config: Path) -> None:
    """Cut (b), and its resumption: the command line as users give it."""
    for title in ("(b) the whole flow", "    the same again, all answered"):
        laps = [(0.0, "")]

        def heard(line: str, at: float, memory: Memory, laps: list[tuple[float, str]] = laps) -> None:
            if "Finished in state" in line:
                name = line.split("'")[1]
                print(measured(name, at - laps[-1][0], memory.lap()), flush=True)
                laps.append((at, name))

        print(title, flush=True)
        seconds, peak = run("-m", "flows.pipeline", str(config), heard=heard)
        print(measured("all", seconds, peak))


def main() -> None:
    """Print both cuts."""
    parser = argparse.ArgumentParser(description="Measure what SafePairs costs beside the models.")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--rounds", type=int, default=2, help="of cut (a); 0 leaves it out")
    parser.add_argument("--block-rows", type=int, default=BLOCK_ROWS, help="32 is the default of local models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="safepairs-bench-") as scratch:
        folder = Path(scratch)
        config = write_config(folder, arguments.prompts, arguments.block_rows)
        answers = arguments.prompts * RESPONDERS * 2
        print(f"{arguments.prompts:,} prompts, {answers:,} answers in blocks of {arguments.block_rows:,}")
        if arguments.rounds:
            like_for_like(folder, config, arguments.rounds)
        whole(config)


if __name__ == "__main__":
    main()
