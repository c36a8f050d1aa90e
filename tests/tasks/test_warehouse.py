"""Tables are made, read and found below any folder, and made again where they broke; no query compiles a pattern a row."""

import io
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from expectations.dialect import BufferedDialect
from infra import leftovers, storage
from tasks import warehouse
from tasks.config import Config, load
from tasks.engines.blocks import put
from tasks.engines.scripted import Scripted
from tasks.errors import StorageError
from tasks.identity import MACROS, macros, parsed
from tasks.plan import Planned, foresee
from tasks.prompts.prompts import build_prompts
from tasks.tables import COMPLETIONS, PROMPTS, REQUESTS, Ref
from tasks.work.store import Work, history, look_up
from tests.conftest import ROOT, write_config
from tests.examples import examples
from tests.tasks.rows import make

LONGEST_NAME = 200
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0\\"), min_size=1).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= LONGEST_NAME
)
ANSWERS = [{"request_id": name, "completion": f"{name}, hello."} for name in "abc"]
WORK = Work("answers", "m@1", Scripted(kind="scripted"), wanted=REQUESTS, kept=COMPLETIONS)
COMPILES = re.compile(
    r"(regexp_|str\w*_split_regex|(try_)?str[fp]time|json_(extract|exists|value|type|keys|array_length|transform)|from_json"
    r"|!?~|->>|(not_)?i?like_escape)"
)
"""Functions and operators of DuckDB that compile their second argument: once where it is constant, else for each row."""
VARIES = {"COLUMN_REF", "SUBQUERY", "WINDOW", "LAMBDA", "STAR"}


def test_row_groups_have_as_many_rows_as_is_said(tmp_path: Path) -> None:
    uri = str(tmp_path / "rows.parquet")
    with warehouse.connect({}) as connection:
        warehouse.write(connection, "SELECT range AS number FROM range(50_000)", uri, {})
    found = pq.read_metadata(uri)
    rows = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
    assert rows == [warehouse.ROW_GROUP_ROWS, warehouse.ROW_GROUP_ROWS, 50_000 - 2 * warehouse.ROW_GROUP_ROWS]


SPILLS = "CREATE TABLE filled AS SELECT range AS id, hash(range) AS hashed, hash(-range) AS other FROM range(2_000_000)"


def test_what_memory_does_not_hold_goes_to_a_folder_that_no_other_connection_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with warehouse.connect({}) as first, warehouse.connect({}) as second:
        for connection in (first, second):
            connection.execute("SET memory_limit = '24MB'; SET threads = 1")
            connection.execute(SPILLS)
        places = [
            Path(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])
            for connection in (first, second)
        ]
        assert all(list(place.iterdir()) for place in places)
        assert places[0] != places[1]
        for place in places:
            assert place.parent.parent == Path(tempfile.gettempdir())
            assert place.parent.name.startswith(f"{leftovers.PREFIX}{leftovers.myself()}-")
            assert place.parent.stat().st_mode & 0o777 == 0o700
    assert not any(place.exists() for place in places)
    assert not list(tmp_path.iterdir())


SECONDS = 100
"""That such a query takes in one thread."""
HASHES = "SELECT max(hash(range)) FROM range(20_000_000_000)"
CALLS = "SELECT max(letters(range::VARCHAR)) FROM range(5_000_000)"


class Told(BaseException):
    """What the handler of a signal raises, as Prefect's does."""


@contextmanager
def told_to_stop_after(seconds: float) -> Iterator[None]:
    def told(number: int, frame: FrameType | None) -> None:
        raise Told

    before = signal.signal(signal.SIGALRM, told)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ask_by_tables(query: str) -> None:
    with warehouse.connect({}) as connection:
        connection.execute("SET threads = 1")
        connection.execute(query)


def ask_by_rules(query: str) -> None:
    with create_engine(f"duckdb+{BufferedDialect.driver}:///:memory:").connect() as connection:
        connection.exec_driver_sql("SET threads = 1")
        connection.exec_driver_sql(query)


def tell(*_: object) -> str:
    """What DuckDB calls, in which a signal arrives."""
    signal.raise_signal(signal.SIGALRM)
    return "told"


class Telling(MemoryFileSystem):  # type: ignore[misc]
    """A bucket, while whose files are looked at a signal arrives."""

    protocol = "telling"
    info = exists = open = glob = tell


def call(connection: duckdb.DuckDBPyConnection) -> None:
    connection.create_function("tell", tell, ["VARCHAR"], "VARCHAR")
    connection.execute("SELECT tell('x')")


def read_a_file(connection: duckdb.DuckDBPyConnection) -> None:
    connection.register_filesystem(Telling())
    connection.execute("FROM read_csv('telling://file.csv')")


def take_it_for_another(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.Error):
        call(connection)


@pytest.mark.parametrize("ask", [call, read_a_file, take_it_for_another])
def test_what_a_signal_raises_in_what_duckdb_calls_comes_out_as_it_is(
    ask: Callable[[duckdb.DuckDBPyConnection], None],
) -> None:
    with pytest.raises(Told), told_to_stop_after(0), warehouse.connect({}) as connection:
        ask(connection.execute("SET threads = 1"))


def test_handlers_of_signals_are_afterwards_as_they_were() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in signal.valid_signals()]

    before = handlers()
    with warehouse.connect({}), warehouse.connect({}):
        pass
    assert handlers() == before


@pytest.mark.parametrize(("ask", "query"), [(ask_by_tables, HASHES), (ask_by_tables, CALLS), (ask_by_rules, HASHES)])
def test_what_a_signal_raises_ends_the_query_and_comes_out_as_it_is(ask: Callable[[str], None], query: str) -> None:
    began = time.monotonic()
    with pytest.raises(Told), told_to_stop_after(0.3):
        ask(query)
    assert time.monotonic() - began < SECONDS / 2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds all the others: one that is taken for a pattern finds what the others hold."""
    folder = tmp_path_factory.mktemp("names")
    write_config(folder, prompts=["Why?", "How?"])
    return folder


@examples(15)
@given(NAMES)
@example("run=3")
@example("prompt=9")
@example("v[1]")
@example("[!a]")
@example("*")
@example("**")
@example("what?")
@example("~")
@example("100%#1")
@example("{a,b}")
@example("a::b")
@example("s3:")
@example("back\\slash")
@example('it\'s "quoted"')
def test_tables_are_made_and_read_below_any_folder(root: Path, name: str) -> None:
    folder = storage.resolve(str(root / "folders" / name))
    made = build_prompts(load(str(root / "config.toml")), folder)
    found = warehouse.read(made.tables["prompts"])
    assert found.schema.names == PROMPTS.schema.names
    assert found["prompt"].to_pylist() == ["Why?", "How?"]
    uri = storage.join(folder, "store")
    for answer in ANSWERS:
        put(make(COMPLETIONS, [answer]), storage.join(uri, f"{answer['request_id']}.parquet"))
    stored, held, _ = look_up(WORK, wanted(folder), uri)
    assert (stored.rows, held.rows) == (len(ANSWERS), len(ANSWERS))
    assert sorted(warehouse.read(held)["completion"].to_pylist()) == sorted(answer["completion"] for answer in ANSWERS)
    storage.remove(folder)
    assert not storage.exists(folder)


def wanted(folder: str) -> Ref:
    uri = storage.join(folder, "wanted.parquet")
    put(make(REQUESTS, [{"request_id": answer["request_id"]} for answer in ANSWERS]), uri)
    return Ref(uri, len(ANSWERS), "wanted")


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zeroed(file: Path) -> None:
    """Nothing but zeros between a good head and a good footer."""
    content = file.read_bytes()
    start, size = 4, pq.read_metadata(file).row_group(0).column(0).total_compressed_size
    file.write_bytes(content[:start] + bytes(size) + content[start + size :])


def of_other_columns(file: Path) -> None:
    pq.write_table(pa.table({"other": [1]}), file)


def of_another_type(file: Path) -> None:
    pq.write_table(pa.table({"request_id": ["b"], "completion": [[1]]}), file)


class OfRay(pa.ExtensionType):  # type: ignore[misc] # pyarrow has no types
    """A type by the name of one of Ray's, whose parameters are not those that Ray reads."""

    def __init__(self) -> None:
        super().__init__(pa.large_list(pa.int64()), "ray.data.arrow_tensor_v2")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"7"


def of_a_type_that_ray_cannot_read(file: Path) -> None:
    listed = pa.array([[1]], pa.large_list(pa.int64()))
    pq.write_table(pa.table({"request_id": pa.ExtensionArray.from_storage(OfRay(), listed)}), file)


def no_parquet(file: Path) -> None:
    file.write_bytes(b"[]")


def nothing_in_it(file: Path) -> None:
    file.write_bytes(b"")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_link_to_nowhere(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def a_link_to_itself(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def a_pipe(file: Path) -> None:
    """Who opens it waits for whoever writes to it."""
    file.unlink()
    os.mkfifo(file)


def refusal(config: Config, folder: str) -> str | None:
    try:
        build_prompts(config, folder)
    except StorageError as error:
        return str(error)
    return None


NO_FILES = (a_folder, a_link_to_nowhere, a_link_to_itself, a_pipe)
BREAKS = (half, zeroed, of_other_columns, no_parquet, nothing_in_it, of_a_type_that_ray_cannot_read, *NO_FILES)


@pytest.mark.parametrize("break_it", BREAKS)
@pytest.mark.parametrize(
    "table", ["sources", "screened_prompts", "near_texts", "near_duplicates", "prompts", "dropped"]
)
def test_a_table_that_broke_is_made_again_or_told_in_one_line_and_then_made_again(
    tmp_path: Path, table: str, break_it: Callable[[Path], None]
) -> None:
    config = load(str(write_config(tmp_path, prompts=["Why?", "Why?", "How?", "how"])))
    folder = str(tmp_path / "tables")
    first = build_prompts(config, folder)
    for file in sorted((tmp_path / "tables" / table).glob("*.parquet")):
        whole = file.read_bytes()
        break_it(file)
        for later in ("screened_prompts", "near_texts", "near_duplicates", "prompts", "dropped"):
            for made in set((tmp_path / "tables" / later).glob("*.parquet")) - {file}:
                made.unlink()
        said = refusal(config, folder)
        assert said is None or (str(file) in said and "\n" not in said)
        again = build_prompts(config, folder)
        assert again.tables["prompts"] == first.tables["prompts"]
        if break_it is not zeroed or table not in ("prompts", "dropped"):  # these nobody has read yet
            assert pq.read_table(file).equals(pq.read_table(io.BytesIO(whole)))


@pytest.mark.parametrize("break_it", [*BREAKS, of_another_type])
def test_a_block_that_broke_is_set_aside_and_its_rows_are_asked_again(
    tmp_path: Path, break_it: Callable[[Path], None]
) -> None:
    uri = str(tmp_path / "store")
    wanted = tmp_path / "wanted.parquet"
    pq.write_table(make(REQUESTS, [{"request_id": name, "user": "?"} for name in "abc"]), wanted)
    for answer in ANSWERS:
        put(make(COMPLETIONS, [answer]), storage.join(uri, f"{answer['request_id']}.parquet"))
    break_it(tmp_path / "store/b.parquet")
    _, held, _ = look_up(WORK, Ref(str(wanted), 3, "w"), uri)
    assert held.rows == 2
    assert os.path.lexists(tmp_path / "store/b.parquet.broken") or break_it in (of_other_columns, a_folder)


@pytest.mark.parametrize("told", [b"", b"[]", b"null", b'{"rows": 0, "cost": {}}', b'{"rows": "many"}', b"\xff"])
def test_a_broken_memory_of_what_work_took_only_costs_the_estimate(tmp_path: Path, told: bytes) -> None:
    store = str(tmp_path)
    storage.write_bytes(history(store, "answers"), told)
    planned = Planned("answers", 3, 0, exact=True)
    assert foresee(planned, Scripted(kind="scripted"), store) == planned


def varying(tree: Any) -> Iterator[str]:
    """What in a syntax tree compiles something for each row: the names of its functions."""
    if isinstance(tree, dict):
        name = str(tree.get("function_name"))
        second = 0 if tree.get("schema") else 1  # in `text.function(pattern)` the text is read as a schema
        if COMPILES.match(name) and VARIES & set(classes(tree["children"][second : second + 1])):
            yield name
        tree = list(tree.values())
    for part in tree if isinstance(tree, list) else ():
        yield from varying(part)


def classes(tree: Any) -> Iterator[str]:
    """The kinds of all expressions in a syntax tree."""
    if isinstance(tree, dict):
        yield str(tree.get("class"))
        tree = list(tree.values())
    for part in tree if isinstance(tree, list) else ():
        yield from classes(part)


def selected(text: str) -> object:
    """The syntax tree of a query, or of one with fields that makes a view."""
    return parsed(re.sub(r"\ACREATE OR REPLACE VIEW \S+ AS", "", re.sub(r"\{(\w+)\}", r"\1", text)))


def test_no_query_and_no_macro_compiles_a_pattern_for_each_row() -> None:
    files = [file for folder in ("tasks", "expectations", "tests") for file in (ROOT / folder).rglob("*.sql")]
    files.remove(ROOT / MACROS)
    trees = {file.name: selected(file.read_text()) for file in files} | macros()
    assert len(trees) > 100
    assert {name: found for name, tree in trees.items() if (found := list(varying(tree)))} == {}


@pytest.mark.parametrize(
    ("expression", "is_seen"),
    [
        ("regexp_matches(a, b)", True),
        ("a.regexp_matches(b)", True),
        ("regexp_extract_all(a, '^' || b, 1)", True),
        ("regexp_replace(lower(a), if(b = 1, 'x', 'y'), '')", True),
        ("regexp_matches(a, (SELECT min(b) FROM t))", True),
        ("list_filter(l, LAMBDA p: a SIMILAR TO p)", True),
        ("a LIKE '%' || b || '%'", True),
        ("a NOT ILIKE b ESCAPE '!'", True),
        ("a GLOB b", True),
        ("a ~ b", True),
        ("json_exists(a, '$.' || b)", True),
        ("a ->> b", True),
        ("strptime(a, b)", True),
        ("max(a) FILTER (WHERE string_split_regex(a, b) = [])", True),
        ("regexp_matches(a, $pattern)", False),
        ("regexp_matches(b, '(?i)x' || $more || '\\b')", False),
        ("regexp_replace(a, 'x', b, 'g')", False),
        ("json_extract(a, ['$.x', '$.y'])", False),
        ("a LIKE 'x%' AND contains(a, b)", False),
    ],
)
def test_each_way_to_compile_a_pattern_for_each_row_is_seen(expression: str, is_seen: bool) -> None:
    assert bool(list(varying(parsed(f"SELECT {expression} FROM t")))) == is_seen
