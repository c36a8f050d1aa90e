"""A folder is a folder, whatever its name looks like: tables below it are made, read and found as below any other."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra import storage
from tasks import warehouse
from tasks.config import load
from tasks.engines.blocks import put
from tasks.engines.scripted import Scripted
from tasks.prompts.prompts import build_prompts
from tasks.tables import COMPLETIONS, PROMPTS, REQUESTS, Ref
from tasks.work.store import Work, look_up
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
