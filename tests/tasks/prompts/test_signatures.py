"""A file that is not what its name says is refused with what it is and what to do."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.prompts.signatures import what_it_is
from tasks.prompts.sources import read_rows

OBJECTS = [{"prompt": f"Why is {number} odd?", "prompt_source": "tests"} for number in range(3)]
JSONL = "".join(json.dumps(value) + "\n" for value in OBJECTS)
CSV = "prompt,prompt_source\nWhy?,tests\n"
HTML = b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(OBJECTS), sink)
    return sink.getvalue()


def arrow_stream() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.Table.from_pylist(OBJECTS).schema) as writer:
        writer.write_table(pa.Table.from_pylist(OBJECTS))
    return sink.getvalue()


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("prompts.csv", CSV)
    return sink.getvalue()


ZSTD = pa.Codec("zstd").compress(JSONL.encode(), asbytes=True)
CASES: dict[str, tuple[str, bytes, str]] = {
    "UTF-16 with a mark": ("p.jsonl", JSONL.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "UTF-16 without a mark": ("p.jsonl", JSONL.encode("utf-16-le"), "is UTF-16 text; save it as UTF-8"),
    "UTF-16 the other way": ("p.csv", CSV.encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
    "UTF-32": ("p.json", JSONL.encode("utf-32"), "is UTF-32 text; save it as UTF-8"),
    "gzip as JSONL": ("p.jsonl", gzip.compress(JSONL.encode()), "is gzip-compressed; name it .jsonl.gz"),
    "gzip as CSV": ("p.csv", gzip.compress(CSV.encode()), "is gzip-compressed; name it .csv.gz"),
    "gzip as Parquet": ("p.parquet", gzip.compress(parquet()), "is gzip-compressed; unpack it"),
    "gzip twice": ("p.csv.gz", gzip.compress(gzip.compress(CSV.encode())), "is gzip-compressed twice; unpack it"),
    "zstd as JSONL": ("p.jsonl", ZSTD, "is zstd-compressed; name it .jsonl.zst"),
    "zstd as gzip": ("p.jsonl.gz", ZSTD, "is zstd-compressed; unpack it"),
    "bzip2": ("p.csv", bz2.compress(CSV.encode()), "is bzip2-compressed; unpack it"),
    "xz": ("p.csv", lzma.compress(CSV.encode()), "is xz-compressed; unpack it"),
    "text as gzip": ("p.jsonl.gz", JSONL.encode(), "is not compressed; name it without .gz"),
    "text as zstd": ("p.csv.zst", CSV.encode(), "is not compressed; name it without .zst"),
    "Parquet as CSV": ("p.csv", parquet(), "is a Parquet file; name it .parquet"),
    "Parquet as JSONL": ("p.jsonl", parquet(), "is a Parquet file; name it .parquet"),
    "Parquet in gzip": ("p.csv.gz", gzip.compress(parquet()), "is a Parquet file; name it .parquet"),
    "an Arrow stream": ("p.parquet", arrow_stream(), "is an Arrow file; write it as Parquet"),
    "ZIP": ("p.csv", zipped(), "is a ZIP archive or an Excel workbook"),
    "HTML": ("p.jsonl", HTML, "is a web page or an error message in XML"),
    "HTML as Parquet": ("p.parquet", HTML, "is a web page or an error message in XML"),
    "XML": ("p.csv", S3_ERROR, "is a web page or an error message in XML"),
    "Git LFS": ("p.parquet", LFS, "is a Git LFS pointer"),
    "an array": ("p.jsonl", json.dumps(OBJECTS, indent=2).encode(), "is a JSON array"),
    "an array of lines": (
        "p.jsonl",
        ("[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]").encode(),
        "is a JSON array",
    ),
    "an array in one line": ("p.jsonl", json.dumps(OBJECTS).encode(), "is a JSON array"),
    "objects over lines": ("p.jsonl", json.dumps(OBJECTS[0], indent=2).encode(), "no line is a JSON object of its own"),
    "CSV as JSONL": ("p.jsonl", CSV.encode(), "no line is a JSON object of its own"),
    "JSONL as JSON": ("p.json", JSONL.encode(), "name it .jsonl"),
    "JSONL as CSV": ("p.csv", JSONL.encode(), "is JSON; name it .jsonl"),
    "JSON as CSV": ("p.csv", json.dumps(OBJECTS, indent=2).encode(), "is JSON; name it .json"),
    "JSONL as Parquet": ("p.parquet", JSONL.encode(), "is JSON; name it .jsonl"),
    "nothing but NUL": ("p.jsonl", b"\0" * 4096, "no line is a JSON object of its own"),
    "Parquet with gzip behind": ("p.parquet.gz", gzip.compress(parquet()), "not .parquet.gz"),
    "another text with gzip behind": ("p.txt.gz", gzip.compress(b"Why?"), "not .txt.gz"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_something_else_says_what_it_is(tmp_path: Path, case: str) -> None:
    name, content, said = CASES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as raised:
        list(read_rows(str(tmp_path / name)))
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    assert len(str(raised.value).splitlines()) == 1


WRITERS: dict[str, Callable[[str], str]] = {
    ".jsonl": lambda text: json.dumps({"prompt": text}, ensure_ascii=False),
    ".json": lambda text: json.dumps([{"prompt": text}], ensure_ascii=False),
    ".csv": lambda text: f'prompt,other\n"{text}",',
}


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(sorted(WRITERS)))
def test_text_that_is_what_its_name_says_is_not_suspected(text: str, suffix: str) -> None:
    assert what_it_is(WRITERS[suffix](text).encode(), suffix) is None
