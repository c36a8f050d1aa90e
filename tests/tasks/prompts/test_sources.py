import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.config import Config, load
from tasks.errors import SourceError
from tasks.prompts.sources import parse, read_rows, read_sources
from tests.conftest import ROOT

PROMPTS = ["How do I knit a scarf?", "Why is the sea salty?"]


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"prompt": prompt, "prompt_source": "s"}) + "\n\n" for prompt in PROMPTS))


def write_csv(path: Path) -> None:
    path.write_text("\ufeffid,prompt_source,prompt\n" + "".join(f'1,s,"{prompt}"\n' for prompt in PROMPTS))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"prompt": PROMPTS, "prompt_source": ["s", "s"]}), path)


def config(source: str) -> Config:
    """One whose prompts are those of one file."""
    return load(str(ROOT / "flows/configs/scripted.toml"), prompts=source)


WRITERS: dict[str, Callable[[Path], None]] = {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"prompts{suffix}"
    WRITERS[suffix](path)
    rows = list(read_rows(str(path)))
    assert [(row["prompt"], row["prompt_source"], row["problem"]) for row in rows] == [(p, "s", None) for p in PROMPTS]
    assert [row["row_number"] for row in rows] == [1, 2]


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
    assert read_sources(config(str(path)), str(tmp_path / "tables")).rows == len(lines)


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


def refusal(source: str) -> str:
    with pytest.raises(SourceError) as raised:
        parse(config(source))
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_folders_and_patterns_are_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl")
    datasets.Dataset.from_list([{"prompt": "Why?"}]).save_to_disk(str(tmp_path / "dataset"))
    for folder in (tmp_path, tmp_path / "dataset"):
        assert "it is a folder; give one file" in refusal(str(folder))
    for pattern in ("*.jsonl", "[ab].jsonl", "**/*.jsonl"):
        assert "no pattern is expanded" in refusal(str(tmp_path / pattern))


@pytest.mark.parametrize("name", ["v[1]", "a*b", "what?", "a::b", "run=3", "two words", "#1 100%"])
def test_a_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    write_jsonl(tmp_path / name / f"{name}.jsonl")
    assert [row["prompt"] for row in read_rows(str(tmp_path / name / f"{name}.jsonl"))] == PROMPTS


def test_the_format_of_a_chain_is_that_of_the_path_inside_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(tmp_path / "p.csv", "inner.csv")
    for source in (f"zip://inner.csv::{tmp_path}/p.zip", f"simplecache::file://{tmp_path}/p.csv"):
        assert [row["prompt"] for row in read_rows(source)] == PROMPTS
    assert "No such file" in refusal(f"zip://absent.csv::{tmp_path}/p.zip")
    assert "not a zip file" in refusal(f"zip://inner.csv::{tmp_path}/p.csv")
    assert "it is a folder" in refusal(f"zip://::{tmp_path}/p.zip")


class Signed(SimpleHTTPRequestHandler):
    """Serves a folder to GET requests with the right signature, as a bucket does."""

    def send_head(self) -> Any:
        if self.command == "HEAD" or "X-Amz-Signature=right" not in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def log_message(self, format: str, *_: object) -> None:
        pass


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[str]:
    """The address of a server of `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Signed, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_signed_url_is_read_and_its_signature_said_nowhere(tmp_path: Path, signed: str) -> None:
    for suffix, write in WRITERS.items():
        write(tmp_path / f"p{suffix}")
        source = f"{signed}/p{suffix}?X-Amz-Signature=right&as=x.txt"
        assert [row["prompt"] for row in read_rows(source)] == PROMPTS
        assert [row["prompt"] for row in read_rows(f"simplecache::{source}")] == PROMPTS
    (tmp_path / "p.txt").write_text("Why?")
    (tmp_path / "empty.csv").write_text("prompt\n")
    for name in ("p.csv?X-Amz-Signature=wrong", "p.txt?X-Amz-Signature=right", "empty.csv?X-Amz-Signature=right"):
        said = refusal(f"{signed}/{name}")
        assert f"{signed}/{name.partition('?')[0]}" in said
        assert "Signature" not in said
        assert "Signature" not in refusal(f"filecache::{signed}/{name}")
