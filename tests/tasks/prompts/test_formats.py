"""What stands in a file comes out of it as it was written, and what does not parse costs its own row and no other."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.prompts.sources import Row, read_rows
from tests.examples import examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PROMPTS = st.lists(st.tuples(TEXT, TEXT), min_size=1)
Quoting = Literal[0, 1, 2]
"""QUOTE_MINIMAL, QUOTE_ALL, QUOTE_NONNUMERIC of the library."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


def rows(folder: Path, name: str, content: bytes) -> list[Row]:
    path = folder / name
    path.write_bytes(content)
    return list(read_rows(str(path)))


def told(folder: Path, name: str, content: bytes) -> list[tuple[str | None, str | None, str | None]]:
    """Where each row stands, its prompt, and its problem."""
    return [(row["lines"], row["prompt"], row["problem"]) for row in rows(folder, name, content)]


def refusal(folder: Path, name: str, content: bytes) -> str:
    with pytest.raises(SourceError) as raised:
        rows(folder, name, content)
    said = str(raised.value)
    assert said.startswith(str(folder / name))
    assert len(said.splitlines()) == 1
    return said


def written(prompts: list[tuple[str, str]], quoting: Quoting, line_end: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator=line_end)
    writer.writerows([("prompt", "prompt_source"), *prompts])
    return text.getvalue().encode()


def expected(prompts: list[tuple[str, str]]) -> list[tuple[str, str, None]]:
    return [(prompt, source.strip() or "unknown", None) for prompt, source in prompts]


# The library leaves the other line end bare in a field that it does not quote, which is no CSV of RFC 4180.
@given(PROMPTS, st.sampled_from([(0, "\r\n"), (1, "\n"), (1, "\r"), (1, "\r\n"), (2, "\n")]))
def test_any_text_written_as_csv_is_read_exactly(
    folder: Path, prompts: list[tuple[str, str]], dialect: tuple[Quoting, str]
) -> None:
    found = rows(folder, "written.csv", written(prompts, *dialect))
    assert [(row["prompt"], row["prompt_source"], row["problem"]) for row in found] == expected(prompts)


@given(PROMPTS, st.booleans(), st.booleans())
def test_any_text_written_as_json_is_read_exactly(
    folder: Path, prompts: list[tuple[str, str]], ascii_only: bool, indented: bool
) -> None:
    objects = [{"prompt": prompt, "prompt_source": source} for prompt, source in prompts]
    lines = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in objects)
    array = json.dumps(objects, ensure_ascii=ascii_only, indent=2 if indented else None)
    for name, text in (("written.jsonl", lines), ("written.json", array)):
        found = rows(folder, name, text.encode())
        assert [(row["prompt"], row["prompt_source"], row["problem"]) for row in found] == expected(prompts)


@given(PROMPTS, st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
def test_any_text_written_as_parquet_is_read_exactly(
    folder: Path, prompts: list[tuple[str, str]], kind: pa.DataType
) -> None:
    sink = io.BytesIO()
    columns = [pa.array(cells, pa.string()).cast(kind) for cells in zip(*prompts, strict=True)]
    pq.write_table(pa.table(columns, ["prompt", "prompt_source"]), sink)
    found = rows(folder, "written.parquet", sink.getvalue())
    assert [(row["prompt"], row["prompt_source"], row["problem"]) for row in found] == expected(prompts)


LIKELY = st.one_of(
    st.binary(),
    st.lists(
        st.sampled_from(
            [b'"', b",", b"\n", b"\r", b"\r\n", b"a", b"\\", b"\xff", b"\0", b"{", b"}", b"[", b"]", b":", b"1"]
        )
    ).map(b"".join),
    st.text(st.sampled_from('prompt"{}[]:,\n \\')).map(str.encode),
)


@given(
    LIKELY,
    st.sampled_from(
        [b"", b"prompt\n", b"prompt,prompt_source\r\n", b'"prompt"\r', b'{"prompt": "a"}\n', b"[", b"PAR1"]
    ),
)
def test_any_bytes_are_rows_or_one_line(folder: Path, content: bytes, before: bytes) -> None:
    for name in ("any.csv", "any.jsonl", "any.json", "any.parquet", "any.csv.gz", "any.jsonl.zst"):
        try:
            found = rows(folder, name, before + content)
        except SourceError:
            refusal(folder, name, before + content)
        else:
            assert found
            assert all((row["prompt"] is None) == (row["problem"] is not None) for row in found)


@given(LIKELY)
def test_every_line_of_a_csv_is_in_one_row_or_empty(folder: Path, content: bytes) -> None:
    text = b"prompt,prompt_source\n" + content.replace(b"\r", b"") + b"\n"
    try:
        found = rows(folder, "lines.csv", text)
    except SourceError:
        found = []
    held: list[int] = []
    for row in found:
        first, _, last = row["lines"].split(" ")[1].partition("-")
        held += range(int(first), int(last or first) + 1)
    lines = text.split(b"\n")[:-1]
    assert held == sorted(set(held))
    assert {number for number, line in enumerate(lines, 1) if line} - {1} <= set(held)


@given(st.lists(LIKELY.map(lambda content: content.replace(b"\n", b"").replace(b"\r", b""))))
def test_every_line_of_a_jsonl_is_one_row_or_blank(folder: Path, lines: list[bytes]) -> None:
    found = rows(folder, "lines.jsonl", b'{"prompt": "first"}\n' + b"\n".join(lines))
    full = [number for number, line in enumerate(lines, 2) if line.removeprefix(b"\xef\xbb\xbf").strip(b" \t")]
    assert [row["lines"] for row in found] == ["line 1", *(f"line {number}" for number in full)]


GOOD = ("Why is the sea salty?", "How do I knit a scarf?")
STRAY = {
    "quote at the start": ('"How do I bake bread?,web', "unclosed quote"),
    "quote in a later field": ('How do I bake bread?,"web', "unclosed quote"),
    "quote in the middle": ('How long is 5" tape?,web', "quote inside a field"),
    "quotes in an unquoted field": ('What is "umami"?,web', "quote inside a field"),
    "quotes in a quoted field": ('"What is "umami"?",web', "quote inside a field"),
    "an odd quote in a quoted field": ('"What is 5" of tape?",web', "quote inside a field"),
    "backslashes before quotes": (r'"What is \"umami\"?",web', "quote inside a field"),
    "backslashes before the last quote": (r'"What is umami\"",web', "unclosed quote"),
    "comma": ("Hello, how do I bake bread?,web", "too many fields"),
    "a field short": ("How do I bake bread?", "too few fields"),
    "a quoted row": ('"How do I bake bread?,web"', "too few fields"),
    "blank after a quote": ('"How do I bake bread?" ,web', "quote inside a field"),
    "carriage return": ("How do I\rbake bread?,web", "line end inside a field"),
}


@pytest.mark.parametrize("good", [f"{GOOD[0]},web\n{GOOD[1]},web", "\n".join(f'"{prompt}",web' for prompt in GOOD)])
@pytest.mark.parametrize("case", STRAY)
def test_a_stray_quote_or_comma_costs_its_own_line(tmp_path: Path, case: str, good: str) -> None:
    line, problem = STRAY[case]
    found = told(tmp_path, "stray.csv", f"prompt,prompt_source\n{line}\n{good}\n".encode())
    assert found == [("line 2", None, problem), ("line 3", GOOD[0], None), ("line 4", GOOD[1], None)]


def test_a_field_in_quotes_may_hold_lines_that_look_like_rows(tmp_path: Path) -> None:
    text = 'prompt,prompt_source\n"Say it:\na,b\n""c"",d\n\n,",web\nWhy?,web\n"two\nlines",web,more\nHow?,web\n'
    assert told(tmp_path, "lines.csv", text.encode()) == [
        ("lines 2-6", 'Say it:\na,b\n"c",d\n\n,', None),
        ("line 7", "Why?", None),
        ("lines 8-9", None, "too many fields"),
        ("line 10", "How?", None),
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("prompt,prompt,prompt_source", "one name (columns 1 and 2)"),
        ("prompt,notes,notes", "one name (columns 2 and 3)"),
        ('prompt,"notes', "no clean CSV"),
        ("prompt;prompt_source", "semicolons"),
        ("id\tprompt", "tabs"),
    ],
)
def test_a_header_that_cannot_be_used_refuses_the_file(tmp_path: Path, header: str, said: str) -> None:
    assert said in refusal(tmp_path, "header.csv", f"{header}\nWhy?,web,web\n".encode())


def test_columns_without_a_name_are_nobodys(tmp_path: Path) -> None:
    assert told(tmp_path, "index.csv", b",prompt,\n0,Why?,\n") == [("line 2", "Why?", None)]


def test_a_file_without_a_header_is_refused_without_its_text(tmp_path: Path) -> None:
    said = refusal(tmp_path, "bare.csv", b"Why is the sea salty?,web\nWhy?,web\n")
    assert "no column `prompt`" in said
    assert "salty" not in said


def test_the_line_ends_of_a_file_are_those_of_its_first_line(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r", "\r\r\n"):
        found = told(tmp_path, "ends.csv", f"prompt,prompt_source{end}Why?,web{end}{end}How?,web{end}".encode())
        assert [prompt for _, prompt, _ in found] == ["Why?", "How?"]


LINES = {
    '{"prompt": "a", "prompt": "b"}': "a key twice",
    '{"prompt": "a", "more": {"k": 1, "k": 2}}': "a key twice",
    '{"prompt": "a"}{"prompt": "b"}': "more than one JSON value",
    '{"prompt": "a"} {"prompt": "b"}': "more than one JSON value",
    '{"prompt": "a"},': "not JSON",
    '{"prompt": "a", "score": NaN}': "not JSON",
    '{"prompt": "a", "score": -Infinity}': "not JSON",
    '{"prompt": "a", "id": ' + "9" * 5000 + "}": "a number too long",
    "[" * 100_000: "not JSON",
    "{'prompt': 'a'}": "not JSON",
    '{"prompt": "a\tb"}': "not JSON",
    '"prompt"': "not a JSON object",
    '{"prompt": ["a"]}': "prompt is of type list, not text",
    '{"prompt": "a", "prompt_source": {"name": "web"}}': "prompt_source is of type dict, not text",
    '{"prompt": "a", "prompt_source": "\\udc00"}': "undecodable text",
}


def test_a_line_that_is_no_json_object_costs_itself(tmp_path: Path) -> None:
    text = "\n".join(['{"prompt": "Why?"}', *LINES, '{"prompt": "How?"}'])
    found = told(tmp_path, "lines.jsonl", text.encode())
    assert [problem for _, _, problem in found] == [None, *LINES.values(), None]


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    prompt = "one\u2028two\u2029three\x85four\x0cfive"
    text = json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n"
    for name, content in (("u.jsonl", text), ("u.csv", f"prompt\n{prompt}\n")):
        assert [row["prompt"] for row in rows(tmp_path, name, content.encode())] == [prompt]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "a"}\n{"prompt": "b"}\n', "name it .jsonl"),
        ('[{"prompt": "a"}\n{"prompt": "b"}]', "line 2"),
        ('[{"prompt": "a"},\n]', "line 2"),
        ('[{"prompt": "a"}', "line 1"),
        ('[{"prompt": "a"}]\n[]', "line 1"),
        ('[{"text": "a"}]', "keys are text"),
        ("[1, 2]", "no element of the array is a JSON object"),
        ("[]", "holds no rows"),
        (" \n", "holds no rows"),
    ],
)
def test_json_that_is_no_array_of_prompts_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, "array.json", text.encode())


def test_the_elements_of_an_array_are_rows_with_their_lines(tmp_path: Path) -> None:
    text = '\n[\n  {"prompt": "a"},\n\n  5, {"prompt": "b", "prompt": "c"},\n  {\n"prompt": "d"}\n]\n'
    assert told(tmp_path, "array.json", text.encode()) == [
        ("line 3", "a", None),
        ("line 5", None, "not a JSON object"),
        ("line 5", None, "a key twice"),
        ("line 6", "d", None),
    ]


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table([["a"], ["b"]], ["prompt", "prompt"]), "one name (columns 1 and 2)"),
        (pa.table({"prompt": [{"text": "a"}]}), "is of type struct"),
        (pa.table({"prompt": [["a"]]}), "is of type list"),
        (pa.table({"prompt": [1]}), "is of type int64"),
        (pa.table({"prompt": ["a"], "prompt_source": [["web"]]}), "`prompt_source` is of type list"),
        (pa.table({"prompt": pa.array([], pa.string())}), "holds no rows"),
    ],
)
def test_columns_of_parquet_that_cannot_be_used_are_one_line(tmp_path: Path, table: pa.Table, said: str) -> None:
    assert said in refusal(tmp_path, "table.parquet", parquet(table))


def test_a_number_as_source_is_read_as_text(tmp_path: Path) -> None:
    jsonl = b'{"prompt": "a", "prompt_source": 7}\n{"prompt": "b", "prompt_source": 0.5}\n{"prompt": "c"}\n'
    assert [row["prompt_source"] for row in rows(tmp_path, "n.jsonl", jsonl)] == ["7", "0.5", "unknown"]
    assert [row["prompt_source"] for row in rows(tmp_path, "n.csv", b"prompt,prompt_source\na,007\nb,\n")] == [
        "007",
        "unknown",
    ]
    for numbers, texts in (([7, None], ["7", "unknown"]), ([0.5, float("nan")], ["0.5", "unknown"])):
        table = parquet(pa.table({"prompt": ["a", "b"], "prompt_source": numbers}))
        assert [row["prompt_source"] for row in rows(tmp_path, "n.parquet", table)] == texts


HIDDEN = "sesame_opens"
PIECES = [
    HIDDEN,
    f'"{HIDDEN}"',
    f'"{HIDDEN}": ',
    '"prompt": ',
    "prompt",
    *'"{}[],:;|\t\n\r 9\0',
    "\n{",
    "PAR1",
    "<html",
]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet", ".csv.gz", ".jsonl.zst", ".txt"])
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@examples(40)
def test_what_is_wrong_with_a_file_is_said_without_its_text(folder: Path, suffix: str, text: str) -> None:
    path = folder / f"p{suffix}"
    path.write_bytes(PACKERS.get(path.suffix, bytes)(text.encode()))
    try:
        said = [row["problem"] for row in read_rows(str(path))]
    except SourceError as error:
        said = [str(error)]
    assert HIDDEN not in repr(said)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({HIDDEN: ["a"]}),
        pa.table([["a"], ["b"], ["c"]], ["prompt", HIDDEN, HIDDEN]),
        pa.table({"prompt": [{HIDDEN: "a"}]}),
        pa.table({"prompt": ["a"], "prompt_source": [{HIDDEN: "a"}]}),
    ],
)
def test_what_is_wrong_with_parquet_is_said_without_its_text(tmp_path: Path, table: pa.Table) -> None:
    whole = parquet(table)
    assert HIDDEN not in refusal(tmp_path, "table.parquet", whole)
    assert HIDDEN not in refusal(tmp_path, "table.parquet", whole[:-20] + b"\0" * 12 + whole[-8:])


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": lambda content: bytes(pa.Codec("zstd").compress(content, asbytes=True)),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_text_is_read_as_what_is_in_it(tmp_path: Path, suffix: str) -> None:
    pack = PACKERS[suffix]
    contents = {".jsonl": b'{"prompt": "a"}\n', ".json": b'[{"prompt": "a"}]', ".csv": b"prompt\na\n"}
    for name, content in contents.items():
        assert [row["prompt"] for row in rows(tmp_path, f"p{name}{suffix}", pack(content))] == ["a"]
    two = pack(b'{"prompt": "a"}\n') + pack(b'{"prompt": "b"}\n')
    assert [row["prompt"] for row in rows(tmp_path, f"two.jsonl{suffix}", two)] == ["a", "b"]
    cut = pack(b"".join(b'{"prompt": "Why is %d odd?"}\n' % number for number in range(9999)))
    assert "Truncated" in refusal(tmp_path, f"cut.jsonl{suffix}", cut[: len(cut) // 2])
