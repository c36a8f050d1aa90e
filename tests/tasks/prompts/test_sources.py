import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import SourceError
from tasks.prompts.sources import read_rows, read_sources

PROMPTS = ["How do I knit a scarf?", "Why is the sea salty?"]


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"prompt": prompt, "prompt_source": "s"}) + "\n\n" for prompt in PROMPTS))


def write_csv(path: Path) -> None:
    path.write_text("\ufeffid,prompt_source,prompt\n" + "".join(f'1,s,"{prompt}"\n' for prompt in PROMPTS))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"prompt": PROMPTS, "prompt_source": ["s", "s"]}), path)


WRITERS: dict[str, Callable[[Path], None]] = {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"prompts{suffix}"
    WRITERS[suffix](path)
    rows = list(read_rows(str(path)))
    assert [(row["prompt"], row["prompt_source"], row["problem"]) for row in rows] == [(p, "s", None) for p in PROMPTS]
    assert [row["row_number"] for row in rows] == [1, 2]


def test_prompts_are_read_from_any_fsspec_address() -> None:
    with fsspec.open("memory://bucket/prompts.jsonl", "wb") as file:
        file.write(b'{"prompt": "Why?"}\n')
    assert [row["prompt"] for row in read_rows("memory://bucket/prompts.jsonl")] == ["Why?"]


def test_rows_that_cannot_be_read_keep_their_place_and_get_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = [
        b'{"prompt": "Why?"}',
        b"\xff\xfe\xfa",
        b'{"prompt": "a lone \\ud800 surrogate"}',
        b"{not json",
        b"[1, 2]",
        b'{"prompt": 5}',
        b'{"prompt": null}',
        b'{"text": "no prompt"}',
    ]
    path.write_bytes(b"\n".join(lines))
    rows = list(read_rows(str(path)))
    assert [row["problem"] for row in rows] == [
        None,
        "undecodable text",
        "undecodable text",
        "not JSON",
        "not a JSON object",
        "prompt is of type int, not text",
        "no prompt",
        "no prompt",
    ]
    assert len([row for row in rows if row["prompt"]]) == 1
    assert read_sources(str(path), str(tmp_path / "tables")).rows == len(lines)


def test_undecodable_text_in_csv_and_parquet_costs_only_its_row(tmp_path: Path) -> None:
    csv_file, parquet_file = tmp_path / "prompts.csv", tmp_path / "prompts.parquet"
    csv_file.write_bytes(b"prompt\ngood\nb\xffd\n")
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"good", b"b\xffd"], pa.binary()).buffers())
    pq.write_table(pa.table({"prompt": broken}), parquet_file)
    for path in (csv_file, parquet_file):
        assert [(row["prompt"], row["problem"]) for row in read_rows(str(path))] == [
            ("good", None),
            (None, "undecodable text"),
        ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("prompts.jsonl", b'{"question": "Why?"}\n', "no column `prompt`"),
        ("prompts.csv", b"question\nWhy?\n", "no column `prompt`"),
        ("prompts.jsonl", b"", "holds no rows"),
        ("prompts.csv", b"", "holds no rows"),
        ("prompts.csv", b"prompt\n", "holds no rows"),
        ("prompts.parquet", b"", "not a Parquet file"),
        ("prompts.parquet", b"PAR1 and then nothing", "not a Parquet file"),
        ("prompts.txt", b"Why?", "not .txt"),
        ("prompts", b"Why?", "without a suffix"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError) as raised:
        list(read_rows(str(path)))
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_parquet_file_without_prompts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"question": ["Why?"]}), path)
    with pytest.raises(SourceError, match="columns are question"):
        list(read_rows(str(path)))


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        list(read_rows(str(tmp_path / "absent.jsonl")))
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_rows(str(folder)))
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_rows("nosuchscheme://bucket/prompts.jsonl"))
