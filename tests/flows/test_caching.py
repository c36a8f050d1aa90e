import json
import pickle
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Task, flow
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.cache_policies import NO_CACHE
from prefect.input import create_flow_run_input, delete_flow_run_input, filter_flow_run_input
from prefect.serializers import PickleSerializer
from pydantic import TypeAdapter

from expectations.outcome import GateOutcome
from flows.preferences_to_candidate import Examined
from flows.running.caching import addresses, read
from flows.sources_to_prompts import sources_to_prompts
from tasks import config as configs
from tasks.config import Config
from tasks.people.review import Project
from tasks.prompts.prompts import build_prompts
from tasks.release.candidate import Candidate
from tasks.release.release import Release
from tasks.tables import Cost, Ref, Stage
from tests.conftest import ROOT, write_config
from tests.examples import examples

STORAGE = "s3://bucket/storage"
TASKS = [
    value
    for path in sorted((ROOT / "flows").glob("*_to_*.py"))
    for value in vars(import_module(f"flows.{path.stem}")).values()
    if isinstance(value, Task)
]
NUMBERS = st.integers(0, 2**70)
SECONDS = st.floats(0, allow_infinity=False)
NAMES = st.from_regex(r"[\w=*-][\w.=*-]{0,9}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}(\.[0-9]+)?", fullmatch=True)
URIS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/".join([STORAGE, *names]))
REFS = st.builds(Ref, uri=URIS)
COSTS = st.dictionaries(
    st.text(),
    st.builds(Cost, queue_seconds=SECONDS, start_seconds=SECONDS, seconds=SECONDS, gpu_seconds=SECONDS),
    max_size=2,
)
STAGES = st.builds(
    Stage, dropped=REFS, tables=st.dictionaries(st.text(), REFS, max_size=3), costs=COSTS, seconds=SECONDS
)
FILES = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.from_regex(r"[a-z_-][a-z_.-]{0,5}(/[a-z_-][a-z_.-]{0,5})?", fullmatch=True),
            "sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
            "bytes": NUMBERS,
            "rows": st.none() | NUMBERS,
        }
    ),
    max_size=3,
).map(tuple)
EXAMINED = st.builds(
    Examined,
    candidate=st.builds(Candidate, version=VERSIONS, uri=URIS, files=FILES),
    files=FILES,
    outcome=st.from_type(GateOutcome),
    parent=st.none() | VERSIONS,
)
RESULTS: dict[Any, st.SearchStrategy[Any]] = {
    Stage: STAGES,
    tuple[Ref, dict[str, Cost]]: st.tuples(REFS, COSTS),
    Project | None: st.none() | st.builds(Project, uri=URIS),
    Examined | Release: EXAMINED | st.builds(Release, version=VERSIONS, uri=URIS),
    Release: st.builds(Release, version=VERSIONS, uri=URIS),
}
"""Whatever tasks give, by its type."""
KEPT = st.sampled_from([signature(task.fn).return_annotation for task in TASKS]).flatmap(
    lambda gives: st.tuples(st.just(TypeAdapter(gives)), RESULTS[gives])
)
A_STAGE = Stage("s", "row", 2, 1, Ref(f"{STORAGE}/tables/d.parquet", 1, "f"), {"t": Ref(f"{STORAGE}/tables/t", 1, "f")})


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def pickles(marker: Path) -> list[str]:
    """A pickle that makes the file `marker`, by itself and as a result of Prefect, which would read it whatever is set."""
    metadata = ResultRecordMetadata(serializer=PickleSerializer())
    record = ResultRecord(metadata=metadata, result=Payload(marker)).serialize()
    return [pickle.dumps(Payload(marker), protocol=0).decode(), record.decode()]


@pytest.fixture
def deployed(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are taken for runs of a deployment."""
    monkeypatch.setattr("flows.running.caching.can_be_retried", lambda: True)


def test_a_result_that_was_replaced_runs_nothing_and_its_task_is_done_again(
    tmp_path: Path, deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configs.load(str(write_config(tmp_path)))
    done: list[str] = []

    def build_and_count(config: Config, folder: str) -> Stage:
        done.append(config.name)
        return build_prompts(config, folder)

    monkeypatch.setattr("flows.sources_to_prompts.build_prompts", build_and_count)

    def make(config: Config = settings) -> tuple[str, Stage]:
        state: Any = sources_to_prompts(config, str(tmp_path / "storage/tables"), return_state=True)
        return state.name, replace(state.result(), seconds=0)

    @flow
    def asked_again() -> None:
        name, first = make()
        assert (name, make()) == ("Completed", ("Cached", first))
        kept: Any = filter_flow_run_input("kept-", limit=10)
        others = [*pickles(tmp_path / "ran"), "", "[" * 100_000, 5, None, {}, kept[0].decoded_value[:-1]]
        for number, other in enumerate(others, start=2):
            delete_flow_run_input(kept[0].key)
            create_flow_run_input(kept[0].key, other)
            assert make() == ("Completed", first)
            assert len(done) == number
        assert make() == ("Cached", first)
        make(settings.model_copy(update={"name": "other"}))
        assert done[-2:] == [settings.name, "other"]

    asked_again()
    assert not (tmp_path / "ran").exists()


def test_a_run_from_the_command_line_keeps_nothing_and_finds_nothing(tmp_path: Path, prefect_server: None) -> None:
    settings = configs.load(str(write_config(tmp_path)))

    @flow
    def run() -> None:
        for _ in range(2):
            state: Any = sources_to_prompts(settings, str(tmp_path / "storage/tables"), return_state=True)
            assert state.name == "Completed"
        assert not filter_flow_run_input("kept-")

    run()


def test_a_run_goes_on_where_nothing_can_be_kept(
    tmp_path: Path, deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configs.load(str(write_config(tmp_path)))

    def fail(*_: object) -> None:
        raise httpx.ConnectError("away")

    for name in ("read", "delete", "create"):
        monkeypatch.setattr(f"flows.running.caching.{name}_flow_run_input", fail)

    @flow
    def away() -> Stage:
        return sources_to_prompts(settings, str(tmp_path / "storage/tables"))

    assert away().rows_kept


def test_prefect_keeps_no_result_of_a_task() -> None:
    assert TASKS
    assert [task.name for task in TASKS if task.persist_result is not False or task.cache_policy != NO_CACHE] == []


@examples(100)
@given(KEPT)
def test_what_a_task_gives_is_read_as_it_was_kept(kept: tuple[TypeAdapter[Any], Any]) -> None:
    gives, made = kept
    assert read(gives.dump_json(made).decode(), gives, STORAGE) == [made]
    assert read(gives.dump_json(made).decode(), gives, "s3://bucket/stor") == ([] if made else [made])


@examples(100)
@given(KEPT, st.data())
def test_what_is_damaged_is_read_as_a_result_of_this_storage_or_as_none(
    kept: tuple[TypeAdapter[Any], Any], data: st.DataObject
) -> None:
    gives, made = kept
    text = gives.dump_json(made).decode()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    others = st.text(max_size=20) | st.sampled_from(["../", '"/etc"', "null", "{}", "-1e999"])
    for found in read(text[:start] + data.draw(others) + text[end:], gives, STORAGE):
        assert gives.validate_python(found, strict=True) == found
        for uri in addresses(gives.dump_python(found, mode="json")):
            assert uri.startswith(f"{STORAGE}/")
            assert ".." not in uri.split("/")


@pytest.mark.parametrize(
    "change",
    [
        {"rows_in": "12"},
        {"rows_in": 1.5},
        {"tables": []},
        *[
            {"dropped": {"uri": uri, "rows": 1, "fingerprint": "f"}}
            for uri in (
                "/etc/passwd",
                STORAGE,
                f"{STORAGE}s/d.parquet",
                f"{STORAGE}/../d.parquet",
                f"{STORAGE}/tables/./d.parquet",
                f"{STORAGE}//d.parquet",
                None,
                [f"{STORAGE}/d.parquet"],
            )
        ],
    ],
)
def test_a_stage_of_another_form_or_storage_is_not_taken(change: dict[str, Any]) -> None:
    gives = TypeAdapter(Stage)
    told = json.loads(gives.dump_json(A_STAGE))
    assert read(json.dumps(told), gives, STORAGE) == [A_STAGE]
    assert read(json.dumps(told | change), gives, STORAGE) == []
    assert read(json.dumps(told | {"tables": {"t": change.get("dropped")}}), gives, STORAGE) == []


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (("candidate", "version"), ".."),
        (("candidate", "uri"), "/etc"),
        (("candidate", "files", 0), {}),
        (("files", 0, "path"), "../README.md"),
        (("files", 0, "sha256"), ""),
        (("parent",), "../2026.01.01"),
        (("outcome", "passed"), "yes"),
    ],
)
def test_a_candidate_that_leads_elsewhere_is_not_taken(place: tuple[Any, ...], other: object) -> None:
    gives: TypeAdapter[Examined | Release] = TypeAdapter(Examined | Release)
    file: Any = {"path": "README.md", "sha256": "0" * 64, "bytes": 3, "rows": None}
    candidate = Candidate("2026.01.01", f"{STORAGE}/candidates/1", (file,), "mine")
    told = json.loads(gives.dump_json(Examined(candidate, (file,), GateOutcome(True, ()), None)))
    assert read(json.dumps(told), gives, STORAGE)
    part = told
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = other
    assert read(json.dumps(told), gives, STORAGE) == []
