"""A folder of odd files: each is refused in one line or built, and every line of it is a prompt, dropped or blank."""

import errno
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.pipeline import pipeline
from infra import storage
from tasks import warehouse
from tasks.config import load
from tasks.errors import SourceError
from tasks.prompts.prompts import build_prompts
from tasks.prompts.sources import read_rows
from tasks.release.candidate import release_fingerprint
from tasks.release.release import unchanged
from tasks.work.job import RunJob
from tests.conftest import ROOT, write_config
from tests.disks import deny
from tests.flows.here import refuse, run_here

JSONL = "".join(json.dumps({"prompt": f"How do I plant {number} tulips?"}) + "\n" for number in range(4))
ODD: dict[str, tuple[bytes, int]] = {
    "unquoted_comma.csv": (b"prompt,prompt_source\nHello, how do I bake bread?,web\nWhy is the sea salty?,web\n", 1),
    "stray_quote.csv": (b'prompt,prompt_source\n"How do I bake?,web\nWhy?,web\nHow?,web\nWhat?,web\n', 1),
    "inner_quotes.csv": (b'prompt,prompt_source\n"What is "umami"?",web\n"a \\"b\\"",web\nHow?,web\n', 2),
    "many_lines.csv": (b'prompt\r\n"one\r\ntwo\r\n"\r\n\r\n"three\r\n""four"""\r\nfive\r\n', 0),
    "old_mac.csv": (b"prompt,prompt_source\rWhy?,web\r\rHow?\r", 1),
    "nul.csv": (b"prompt\nWhy\0?\nHow?\n", 1),
    "latin.csv": ("prompt\ncaf\u00e9?\nHow?\n".encode("latin-1"), 1),
    "two_keys.jsonl": (b'{"prompt": "Why?"}\n\n{"prompt": "a", "prompt": "b"}\n{"prompt": "c"}{"prompt": "d"}\n', 2),
    "numbers.jsonl": (b'{"prompt": "Why?", "prompt_source": 7}\n{"prompt": 5}\n{"prompt": "a", "b": NaN}\n', 2),
    "array.json": (json.dumps([{"prompt": "Why?"}, 5, {"prompt": "How?"}], indent=2).encode(), 1),
    "packed.jsonl.gz": (gzip.compress(JSONL.encode()), 0),
}
"""Files that can be built, and how many of their rows are dropped."""
REFUSED: dict[str, bytes] = {
    "two_columns.csv": b"prompt,prompt,prompt_source\nWhy one?,Why two?,web\n",
    "header.csv": b"prompt,prompt_source\n",
    "tabs.csv": b"prompt\tprompt_source\nWhy?\tweb\n",
    "utf16.jsonl": JSONL.encode("utf-16"),
    "packed.jsonl": gzip.compress(JSONL.encode()),
    "array.jsonl": json.dumps([{"prompt": "Why?"}], indent=2).encode(),
    "page.jsonl": b"<!DOCTYPE html><html></html>",
    "text.parquet": JSONL.encode(),
    "broken.json": b'[{"prompt": "Why?"},\n{"prompt"',
    "notes.txt": b"Why?",
}


def lines_of(place: str) -> list[int]:
    """The lines that a row stands on."""
    found = re.match(r"lines? (\d+)(?:-(\d+))?", place)
    assert found
    return list(range(int(found[1]), int(found[2] or found[1]) + 1))


@pytest.mark.parametrize("name", ODD)
def test_every_row_of_an_odd_file_is_kept_or_dropped_with_its_line(tmp_path: Path, name: str) -> None:
    content, dropped = ODD[name]
    (tmp_path / name).write_bytes(content)
    config = load(str(write_config(tmp_path)), str(tmp_path / name))
    stage = build_prompts(config, str(tmp_path / "tables"))
    assert stage.rows_in == stage.rows_kept + stage.dropped.rows
    assert stage.dropped.rows == dropped
    rows = list(read_rows(str(tmp_path / name)))
    assert stage.rows_in == len(rows)
    left_out = {row["id"]: lines_of(row["evidence"]) for row in warehouse.read(stage.dropped).to_pylist()}
    assert left_out.items() <= {f"row {row['row_number']}": lines_of(row["lines"]) for row in rows}.items()
    if name.endswith((".csv", ".jsonl")):
        header = 1 if name.endswith(".csv") else 0
        full = [number for number, line in enumerate(content.splitlines(), start=1) if line and number > header]
        assert [line for row in rows for line in lines_of(row["lines"])] == full


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(REFUSED[name])
    config = load(str(write_config(tmp_path)), str(tmp_path / name))
    with pytest.raises(SourceError) as raised:
        build_prompts(config, str(tmp_path / "tables"))
    assert len(str(raised.value).splitlines()) == 1
    assert name in str(raised.value)


def test_a_run_below_a_folder_that_looks_like_data_or_a_pattern_is_a_run(
    tmp_path: Path, cluster: RunJob, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The odd rows of all files that have them, in one file, below a storage with the oddest name on a disk without hard links."""
    deny(monkeypatch, "os.link", errno.EPERM)
    folder = tmp_path / "run=3 v[1]" / "prompt=7"
    folder.mkdir(parents=True)
    good = "".join(f"How do I plant {number} tulips?,tests\n" for number in range(8))
    odd = 'Hello, how do I bake bread?,web\n"What is "umami"?",web\nWhy?\n"How do I bake bread?,web\n'
    source = folder / "odd [1].csv"
    source.write_text(f"prompt,prompt_source\n{odd}{good}")
    path = str(write_config(tmp_path, storage=folder / "seed=7"))
    release, stages = pipeline(path, str(source))
    prompted = stages[0]
    assert (prompted.rows_in, prompted.rows_kept, prompted.dropped.rows) == (12, 8, 4)
    for stage in stages:
        assert stage.rows_in == stage.rows_kept + stage.dropped.rows
    prompts = storage.listing(f"{release.uri}/prompts")
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in prompts) == prompted.rows_kept
    dropped = warehouse.read(prompted.dropped).to_pylist()
    assert sorted((row["evidence"], row["reason"]) for row in dropped) == [
        ("line 2", "too many fields"),
        ("line 3", "quote inside a field"),
        ("line 4", "too few fields"),
        ("line 5", "unclosed quote"),
    ]
    config = load(path, str(source))
    again = unchanged(release_fingerprint(config, run_here(config, refuse)), config.storage)
    assert again is not None
    assert again.version == release.version
    told = subprocess.run(
        [sys.executable, "-m", "tasks.release.shell", str(folder / "seed=7")],
        cwd=ROOT,
        input=".mode csv\nSELECT count(*) AS prompts, any_value(prompt_source) AS source FROM prompts;",
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{prompted.rows_kept},tests" in told.stdout.splitlines()
