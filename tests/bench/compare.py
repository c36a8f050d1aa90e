"""How long each stage of `tests/bench/overhead.py` takes in this checkout and in another commit, in turns.

In: a commit. Out: one line a stage: the best seconds of both, and how many times as long it takes here. The other commit
stands in a temporary folder, which goes afterwards; each side runs its own benchmark and its own code
with the packages of this environment.
Run as `python -m tests.bench.compare BASE [--prompts N] [--turns N]`.
"""

import argparse
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.overhead import PROMPTS, ROOT

MEASURED = re.compile(r"    (\S.*?) +([\d.]+) s +\d+ MiB")
"""A stage, as `overhead.py` prints it since c932485."""
Stages = dict[tuple[str, str], float]
"""Seconds by cut and stage."""


def read(printed: str) -> Stages:
    """What a benchmark measured, from what it printed: any other line is the title of the cut below it."""
    found: Stages = {}
    cut = ""
    for line in printed.splitlines():
        if measured := MEASURED.match(line):
            stage = cut, named(measured[1])
            found[stage] = found.get(stage, 0) + float(measured[2])
        else:
            cut = line.strip()
    return found


def named(task: str) -> str:
    """The stage of a task, without what Prefect draws for each run; what is done at once, each responder, is one stage."""
    stage, drawn, _ = task.partition("-")
    return stage if "_" in stage or not drawn else "end of the flow"


@contextmanager
def checkout(root: Path, commit: str) -> Iterator[Path]:
    """The files of `commit` of the repository at `root`, in a folder for the body."""
    known = git(root, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    if known.returncode:
        sys.exit(f"BASE={commit}: no commit here; give one that `git log` shows")
    archive = git(root, "archive", known.stdout.decode().strip())
    if archive.returncode:
        sys.exit(f"BASE={commit}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="safepairs-compare-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """What git says of the repository at `root`."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)


def measure(tree: Path, prompts: int) -> Stages:
    """The stages of the benchmark in the checkout `tree`."""
    command = [sys.executable, "-m", "tests.bench.overhead", "--prompts", str(prompts), "--rounds", "1"]
    ran = subprocess.run(
        command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        sys.exit(f"{tree}: its benchmark stopped:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    found = read(ran.stdout)
    if not found:
        sys.exit(f"{tree}: its benchmark prints its stages in another form; take a commit since c932485")
    return found


def best(turns: list[Stages]) -> Stages:
    """The shortest time of each stage."""
    return {stage: min(turn[stage] for turn in turns if stage in turn) for turn in turns for stage in turn}


def table(base: Stages, here: Stages) -> Iterator[str]:
    """One line a stage, those that only one side has among them."""
    cut = ""
    for stage in {**here, **base}:
        if stage[0] != cut:
            yield (cut := stage[0])
        told = [f"{side[stage]:7.1f} s" if stage in side else f"{'-':>9}" for side in (base, here)]
        ratio = f"{here[stage] / base[stage]:6.2f}" if stage in here and base.get(stage) else f"{'-':>6}"
        yield f"    {stage[1]:45} {told[0]} {told[1]} {ratio}"


def main() -> None:
    """Measure in turns, and print the table."""
    parser = argparse.ArgumentParser(description="Compare the overhead of this checkout with that of another commit.")
    parser.add_argument("base", help="the other commit")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    sides: tuple[list[Stages], list[Stages]] = ([], [])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with checkout(ROOT, arguments.base) as tree:
        for turn in range(arguments.turns):
            for side, where in zip(sides, (tree, ROOT), strict=True):
                side.append(measure(where, arguments.prompts))
            print(f"turn {turn + 1} of {arguments.turns} is done", file=sys.stderr, flush=True)
    print(f"{arguments.prompts:,} prompts: {arguments.base}, this checkout, ratio (best of {arguments.turns})")
    print("\n".join(table(*map(best, sides))))


if __name__ == "__main__":
    main()
