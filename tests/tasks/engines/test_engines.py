"""What holds for every engine, and how one is added."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import pyarrow.parquet as pq
import pytest
from pydantic import Field, ValidationError

from flows.running.clusters import manifest
from tasks import preflight
from tasks.config import KubeRay, Model, describe, load
from tasks.engines import EngineSection
from tasks.engines.checkpoints import checkpoint_identity
from tasks.engines.openai import OpenAI
from tasks.engines.scripted import Scripted
from tasks.engines.sentence_transformers import SentenceTransformers
from tasks.engines.transformers import Transformers
from tasks.engines.vllm import Vllm
from tasks.engines.word_counts import WordCounts
from tasks.errors import ModelError
from tasks.identity import digest
from tasks.section import Section
from tasks.tables import COMPLETIONS, REQUESTS, Ref
from tasks.work import store
from tasks.work.answering import Answering
from tasks.work.job import RunJob
from tasks.work.store import Work, obtain
from tests.conftest import write_config
from tests.tasks.engines.toy import Toy
from tests.tasks.rows import make, read
from tests.tasks.work.here import fill_here

ENGINES = [engine for engine in EngineSection.__subclasses__() if engine.__module__.startswith("tasks.engines.")]
Entry = Annotated[Model | Toy, Field(discriminator="kind")]


class WithToy(Section):
    """A part of the file as it would be with the toy's entry."""

    engine: Entry


class AnsweringWithToy(Answering):
    """A job as it would be with the toy's entry."""

    model: Entry  # type: ignore[assignment] # wider, as the union is with one more


def checkpoint(folder: Path, weights: str) -> str:
    """A folder that passes for a model and for an adapter."""
    folder.mkdir()
    for name in ("config.json", "adapter_config.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return str(folder)


def accepted(engine: type[EngineSection], values: dict[str, Any], field: str, folder: str) -> Iterator[object]:
    """Values that the field takes beside the others."""
    literals = get_args(engine.model_fields[field].annotation)
    for value in (*literals, folder, f"https://a.org{folder}", True, False, 7, 7.5, {"seed": ""}, "NAME"):
        try:
            engine.model_validate(values | {field: value}, strict=True)
        except ValidationError as error:
            if any(detail["loc"] == (field,) for detail in error.errors()):
                continue
        yield value


def smallest(engine: type[EngineSection], folder: str) -> EngineSection:
    """The engine with a value for each field that must have one."""
    values: dict[str, Any] = {}
    for name, field in engine.model_fields.items():
        if field.is_required():
            values[name] = next(accepted(engine, values, name, folder))
    return engine.model_validate(values)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_each_engine_has_a_module_that_has_blocks_answered(engine: type[EngineSection]) -> None:
    assert find_spec(f"{engine.__module__}.answering")


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_an_identity_changes_with_what_changes_answers_and_with_nothing_else(
    tmp_path: Path, engine: type[EngineSection]
) -> None:
    one, other = checkpoint(tmp_path / "one", "1"), checkpoint(tmp_path / "other", "2")
    usual = smallest(engine, one)
    on_hub = {"model": "org/m", "revision": "1"}
    cases = [usual] + ([usual.model_copy(update=on_hub)] if on_hub.keys() <= engine.model_fields.keys() else [])
    assert {*engine.IDENTITY, *engine.PLACE} == engine.model_fields.keys() - {"kind"}
    for field in (*engine.IDENTITY, *engine.PLACE):
        changes = False
        for case in cases:
            values = case.model_dump()
            values[field] = next(value for value in accepted(engine, values, field, other) if value != values[field])
            changes = changes or engine.model_validate(values).identity() != case.identity()
        assert changes == (field in engine.IDENTITY), field


@pytest.mark.parametrize(("identity", "place"), [((), ()), (("word",), ("word",)), (("word", "wrod"), ())])
def test_a_field_belongs_in_one_of_two(identity: tuple[str, ...], place: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match=r"Unsorted: every field .*: mend (word|wrod)$"):

        class Unsorted(EngineSection):
            IDENTITY: ClassVar = identity
            PLACE: ClassVar = ("block_rows", *place)

            kind: Literal["unsorted"]
            word: str


def test_stored_answers_are_found_again_under_the_identity_of_their_model(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "small", "1")
    weights = SentenceTransformers(kind="sentence-transformers", model=folder).identity()
    assert weights.startswith("model@")
    hub = {"kind": "vllm", "model": "org/m", "revision": "1"}
    endpoint = {"kind": "openai", "model": "m", "base_url": "https://a.org/v1/"}
    found = {
        Transformers(kind="transformers", model=folder).identity(): f"{weights} bfloat16",
        Scripted(kind="scripted", garbage_every=5).identity(): "scripted@5",
        WordCounts(kind="word-counts").identity(): "word-counts",
        OpenAI.model_validate(endpoint).identity(): "m@unversioned https://a.org/v1",
        OpenAI.model_validate(endpoint | {"logprobs": False, "revision": "2"}).identity(): (
            "m@2 https://a.org/v1 without logprobs"
        ),
        OpenAI.model_validate(endpoint | {"parameters": {"seed": "seed"}}).identity(): "m@unversioned https://a.org/v1",
        OpenAI.model_validate(
            endpoint | {"parameters": {"seed": "", "temperature": "", "max_tokens": "max_completion_tokens"}}
        ).identity(): (
            "m@unversioned https://a.org/v1 max_tokens as max_completion_tokens without temperature without seed"
        ),
        Vllm.model_validate(hub).identity(): "org/m@1 bfloat16 chat as tokens on 2024-07-26",
        Vllm.model_validate(hub | {"lora": folder, "template": "alpaca"}).identity(): (
            f"org/m@1 bfloat16 alpaca as tokens lora {checkpoint_identity(folder, 'adapter_config.json')}"
        ),
        Vllm(kind="vllm", model=folder, load_format="dummy", max_model_len=64).identity(): (
            f"{weights} bfloat16 chat as tokens dummy weights"
        ),
    }
    assert list(found) == list(found.values())


def test_weights_are_the_same_wherever_and_however_they_run(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "small", "1")
    local = [
        Transformers(kind="transformers", model=folder, dtype="float32"),
        Vllm(kind="vllm", model=folder, lora=folder, template="alpaca"),
    ]
    endpoints = [
        OpenAI(kind="openai", model="m", revision="2", base_url=f"https://{host}.org", logprobs=logprobs)
        for host, logprobs in (("a", True), ("b", False))
    ]
    for engines in (local, endpoints):
        assert len({engine.identity() for engine in engines}) == 2
        assert len({engine.weights() for engine in engines}) == 1


def wanted(folder: Path) -> Ref:
    uri = folder / "wanted.parquet"
    pq.write_table(make(REQUESTS, [{"request_id": name, "user": "Hello?", "seed": 1} for name in "ab"]), uri)
    return Ref(str(uri), 2, digest("ab"))


def work(model: Any) -> Work:
    return Work("answers", model.identity(), model, wanted=REQUESTS, kept=COMPLETIONS)


def test_an_added_engine_answers_and_is_found_by_its_identity(
    tmp_path: Path, cluster: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "Answering", AnsweringWithToy)
    asked, tables = wanted(tmp_path), str(tmp_path / "tables")
    found, cost = obtain(work(Toy(kind="toy", word="tulip")), asked, tables, cluster)
    assert {row["completion"] for row in read(found)} == {"tulip"}
    assert cost.asked == 2
    assert cost.gpu_seconds == pytest.approx(2 * (cost.start_seconds + cost.seconds))
    _, again = obtain(work(Toy(kind="toy", word="tulip", machines=3)), asked, tables, fill_here)
    _, other = obtain(work(Toy(kind="toy", word="rose")), asked, tables, fill_here)
    assert (again.asked, other.asked) == (0, 2)
    with pytest.raises(ModelError, match=r"answers: the engine of toy stopped: .*told to stop"):
        obtain(work(Toy(kind="toy", word="stop")), asked, tables, cluster)
    with pytest.raises(ModelError, match="answers: toy answered none of the first 2 requests: refused: rudely; mend"):
        obtain(work(Toy(kind="toy", word="refuse")), asked, tables, fill_here)


def test_an_added_engine_is_checked_before_it_costs_anything(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)))
    with_toy = config.responders[0].model_copy(update={"engine": Toy(kind="toy", word="")})
    with pytest.raises(ModelError, match="toy: no word"):
        preflight.check(config.model_copy(update={"responders": (with_toy,)}))


def test_an_added_engine_is_handed_over_whole_and_sizes_its_cluster() -> None:
    model = Toy(kind="toy", word="tulip", machines=3)
    job = AnsweringWithToy(id="1", name="answers", model=model, pending=Ref("", 1, ""), store="")
    assert AnsweringWithToy.model_validate_json(job.model_dump_json()) == job
    made: Any = manifest(KubeRay(kind="kuberay", image="safepairs:1"), job, ["true"])
    (workers,) = made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert (workers["replicas"], container["resources"]["limits"]["nvidia.com/gpu"]) == (3, "2")


def test_the_fields_of_an_added_engine_are_named_without_its_kind() -> None:
    values = {"engine": {"kind": "toy", "wrod": "tulip"}}
    with pytest.raises(ValidationError) as raised:
        WithToy.model_validate(values)
    said = [describe(detail, values).split(":")[0] for detail in raised.value.errors()]
    assert said == ["engine.word", "engine.wrod"]


def test_a_folder_is_identified_by_what_it_holds_and_not_by_a_revision_or_what_tools_note_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    def identity(revision: str | None) -> str:
        checkpoint_identity.cache_clear()
        return Vllm(kind="vllm", model=str(tmp_path), revision=revision).identity()

    before = identity("1")
    assert identity("2") == identity(None) == before
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/download.metadata").write_text("today")
    assert identity("1") == before
    (tmp_path / "model.safetensors").write_text("other weights")
    assert identity("1") != before
