"""Tables are made, read and found below any folder, and made again where they broke."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra import storage
from tasks import warehouse
from tasks.config import Config, load
from tasks.engines.blocks import put
from tasks.engines.scripted import Scripted
from tasks.errors import StorageError
from tasks.plan import Planned, foresee
from tasks.prompts.prompts import build_prompts
from tasks.tables import COMPLETIONS, PROMPTS, REQUESTS, Ref
from tasks.work.store import Work, history, look_up
from tests.conftest import write_config
from tests.examples import examples
from tests.tasks.rows import make

LONGEST_NAME = 200
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0\\"), min_size=1).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= LONGEST_NAME
)
ANSWERS = [{"request_id": name, "completion": f"{name}, hello."} for name in "abc"]
WORK = Work("answers", "m@1", Scripted(kind="scripted"), wanted=REQUESTS, kept=COMPLETIONS)


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


def no_parquet(file: Path) -> None:
    file.write_bytes(b"[]")


def nothing_in_it(file: Path) -> None:
    file.write_bytes(b"")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def refusal(config: Config, folder: str) -> str | None:
    try:
        build_prompts(config, folder)
    except StorageError as error:
        return str(error)
    return None


BREAKS = (half, zeroed, of_other_columns, no_parquet, nothing_in_it, a_folder)


@pytest.mark.parametrize("break_it", BREAKS)
@pytest.mark.parametrize("table", ["sources", "screened_prompts", "prompts", "dropped"])
def test_a_table_that_broke_is_made_again_or_told_in_one_line_and_then_made_again(
    tmp_path: Path, table: str, break_it: Callable[[Path], None]
) -> None:
    config = load(str(write_config(tmp_path, prompts=["Why?", "Why?", "How?"])))
    folder = str(tmp_path / "tables")
    first = build_prompts(config, folder)
    (file,) = (tmp_path / "tables" / table).glob("*.parquet")
    whole = file.read_bytes()
    break_it(file)
    for later in {"screened_prompts", "prompts", "dropped"} - {table}:
        shutil.rmtree(tmp_path / "tables" / later)
    said = refusal(config, folder)
    assert said is None or (str(file) in said and "\n" not in said)
    if file.is_dir():
        file.rmdir()
    again = build_prompts(config, folder)
    assert again.tables["prompts"] == first.tables["prompts"]
    if break_it is not zeroed or table in ("sources", "screened_prompts"):  # the others nobody has read yet
        assert pq.read_table(file).equals(pq.read_table(io.BytesIO(whole)))


@pytest.mark.parametrize("break_it", [half, zeroed, of_other_columns, of_another_type, no_parquet, nothing_in_it])
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
    assert (tmp_path / "store/b.parquet.broken").exists() or break_it is of_other_columns


@pytest.mark.parametrize("told", [b"", b"[]", b"null", b'{"rows": 0, "cost": {}}', b'{"rows": "many"}', b"\xff"])
def test_a_broken_memory_of_what_work_took_only_costs_the_estimate(tmp_path: Path, told: bytes) -> None:
    store = str(tmp_path)
    storage.write_bytes(history(store, "answers"), told)
    planned = Planned("answers", 3, 0, exact=True)
    assert foresee(planned, Scripted(kind="scripted"), store) == planned
