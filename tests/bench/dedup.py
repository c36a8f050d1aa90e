"""What it costs to find prompts that are nearly the same, and how many are found, beside libraries that estimate it by MinHash.

In: `../shared/data/alpaca_instructions.jsonl`, instructions as they are public. Out: the CPU seconds and the peak memory of each
contestant in a process of its own, how many of the planted near-duplicates it found, and how many of those that it found are some.
Run as `python -m tests.bench.dedup [--prompts N]`. Peers take part where they are installed:
`uv pip install --target FOLDER rensa==0.5.0 gaoya==0.2.2`, with FOLDER in PYTHONPATH.
"""

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.conftest import ROOT

INSTRUCTIONS = ROOT.parent / "shared/data/alpaca_instructions.jsonl"
THRESHOLD = 0.8
PLANTED = 20
"""One text of so many is nearly the same as an earlier one."""
LeftOut = dict[int, int]
"""By the place of what is left out, the place of what it is like."""


def shingles(text: str) -> set[str]:
    """Three words in a row."""
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[at : at + 3]) for at in range(len(words) - 2)} or {" ".join(words)}


def alike(one: str, other: str) -> float:
    """The Jaccard similarity of two texts."""
    first, second = shingles(one), shingles(other)
    return len(first & second) / len(first | second)


def changed(text: str, draw: random.Random) -> str:
    """The text with a word more, less, or changed at its end."""
    words = text.split()
    match draw.randrange(3):
        case 0:
            words.append(draw.choice(["please", "today", "now"]))
        case 1:
            words.pop()
        case _:
            words[-1] = draw.choice(["something", "anything"])
    return " ".join(words)


def prompts(number: int) -> list[str]:
    """Instructions, and where there are not enough two in one; each twentieth is an earlier one, changed."""
    draw = random.Random(0)
    known = [json.loads(line)["prompt"] for line in INSTRUCTIONS.read_text().splitlines()]
    draw.shuffle(known)
    made: list[str] = []
    for at in range(number):
        fresh = known[at] if at < len(known) else " ".join(draw.sample(known, 2))
        made.append(changed(draw.choice(made), draw) if made and at % PLANTED == 0 else fresh)
    return made


def near(texts: list[str]) -> set[int]:
    """Texts that are nearly the same as an earlier one that stays, told by comparing all that share a shingle."""
    having: dict[str, list[int]] = defaultdict(list)
    found = set[int]()
    for at, text in enumerate(texts):
        shared = Counter(other for shingle in shingles(text) for other in having[shingle])
        if any(alike(text, texts[other]) >= THRESHOLD for other, _ in shared.most_common(9)):
            found.add(at)
            continue
        for shingle in shingles(text):
            having[shingle].append(at)
    return found


def ours(texts: list[str]) -> LeftOut:
    """What we leave out."""
    from tasks import warehouse  # noqa: PLC0415 (of this contestant alone)
    from tasks.identity import query  # noqa: PLC0415
    from tasks.prompts.near_duplicates import left_out  # noqa: PLC0415

    with warehouse.connect({}) as connection:
        connection.register("screened", pa.table({"prompt": texts, "reason": pa.nulls(len(texts), pa.string())}))
        found = connection.execute(query("near_texts"), {"threshold": THRESHOLD}).to_arrow_table()
    return {row["position"] - 1: row["earlier"] - 1 for row in left_out(found, THRESHOLD).to_pylist()}


def rensa(texts: list[str]) -> LeftOut:
    """What rensa finds: 128 hashes in 16 bands, each candidate held to its estimate."""
    library: Any = import_module("rensa")
    index, sketches, found = library.RMinHashLSH(threshold=THRESHOLD, num_perm=128, num_bands=16), [], {}
    for at, text in enumerate(texts):
        sketch = library.RMinHash(num_perm=128, seed=42)
        sketch.update(list(shingles(text)))
        sketches.append(sketch)
        if held := [other for other in index.query(sketch) if sketch.jaccard(sketches[other]) >= THRESHOLD]:
            found[at] = min(held)
        else:
            index.insert(at, sketch)
    return found


def gaoya(texts: list[str]) -> LeftOut:
    """What gaoya finds, which makes three words in a row by itself."""
    library: Any = import_module("gaoya.minhash")
    words = {"analyzer": "word", "lowercase": True, "ngram_range": (3, 3)}
    index = library.MinHashStringIndex(hash_size=32, jaccard_threshold=THRESHOLD, num_bands=20, band_size=5, **words)
    found = {}
    for at, text in enumerate(texts):
        if held := index.query(text):
            found[at] = min(held)
        else:
            index.insert_document(at, text)
    return found


CONTESTANTS: dict[str, Callable[[list[str]], LeftOut]] = {"ours": ours, "rensa": rensa, "gaoya": gaoya}


def contest(name: str, file: str) -> None:
    """Print what one contestant makes of the texts in a file, in this process: its figures as JSON."""
    texts = json.loads(Path(file).read_text())
    CONTESTANTS[name](texts[:2])  # what is imported is no part of it
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = CONTESTANTS[name](texts)
    seconds, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak": (peak - before) / 1024, "found": sorted(found.items())}))


def main() -> None:
    """Print the figures of all contestants."""
    parser = argparse.ArgumentParser(description="Measure what near-duplicates cost.")
    parser.add_argument("--prompts", type=int, default=44_600)
    parser.add_argument("--one", nargs=2, help="a contestant and a file of texts: what each process does")
    arguments = parser.parse_args()
    if arguments.one:
        contest(*arguments.one)
        return
    if not INSTRUCTIONS.is_file():
        sys.exit("the instructions that this is measured on are not there: shared/data/alpaca_instructions.jsonl")
    texts = prompts(arguments.prompts)
    wanted = near(texts)
    print(f"{len(texts):,} prompts, {len(wanted):,} of them nearly the same as an earlier one", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        for name in CONTESTANTS:
            if name != "ours" and find_spec(name) is None:
                print(f"    {name:6} is not installed")
                continue
            command = [sys.executable, "-m", "tests.bench.dedup", "--one", name, file.name]
            said = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
            found = dict(said["found"])
            right = sum(alike(texts[at], texts[other]) >= THRESHOLD for at, other in found.items())
            print(
                f"    {name:6} {said['seconds']:6.2f} CPU s, {said['peak']:5.0f} MiB; found "
                f"{len(wanted & found.keys()) / len(wanted):.4f} of them, right {right / max(len(found), 1):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
