"""A storage that never lies: what a run finds, what it makes again, and when it publishes, as a user meets it."""

import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from prefect import Task, flow

from flows.pipeline import pipeline
from flows.running.caching import key_of
from flows.running.perform import perform_in_run
from flows.sources_to_prompts import sources_to_prompts
from tasks import config as configs
from tasks import identity
from tasks.config import Config
from tasks.engines.checkpoints import checkpoint_identity
from tasks.engines.transformers import Transformers
from tasks.prompts.prompts import build_prompts
from tasks.release.candidate import release_fingerprint, write_candidate
from tasks.release.release import Release, discard_equal, next_version, unchanged
from tasks.tables import Stage
from tests.conftest import ROOT, asked, write_config
from tests.flows.here import refuse, run_here

Run = tuple[Path, Release, list[Stage]]
KEPT_BY_BLOCK = ("completions", "embeddings")


@pytest.fixture
def copied(scripted_run: Run, tmp_path: Path) -> Path:
    """A configuration whose storage is a copy of that of the finished run."""
    shutil.copytree(scripted_run[0] / "storage", tmp_path / "storage")
    return write_config(tmp_path)


def blocks(storage: Path) -> list[Path]:
    found = sorted((storage / "tables/completions").rglob("*.parquet"))
    return [block for block in found if pq.read_metadata(block).num_rows]


def found(config: Config, stages: list[Stage]) -> Release | None:
    """The release that a run with these stages would find published."""
    return unchanged(release_fingerprint(config, stages), config.storage)


def test_other_answers_to_the_same_requests_make_another_release(scripted_run: Run, copied: Path) -> None:
    config = configs.load(str(copied))
    for block in blocks(copied.parent / "storage"):
        rows = pq.read_table(block)
        if not pc.any(pc.starts_with(rows["completion"], "{")).as_py():
            said = pc.binary_join_element_wise(rows["completion"], pa.scalar("Indeed."), " ")
            place = rows.schema.get_field_index("completion")
            pq.write_table(rows.set_column(place, "completion", said), block)
    stages = run_here(config)
    assert found(config, stages) is None
    responses = pq.read_table(stages[1].tables["responses"].uri)["response"].to_pylist()
    assert responses
    assert all(response.endswith("Indeed.") for response in responses)
    fingerprint = release_fingerprint(config, stages)
    assert next_version(config.storage, fingerprint) != scripted_run[1].version
    candidate = write_candidate(config, stages, "another", fingerprint, config.storage)
    shutil.copytree(Path(scripted_run[1].uri) / "gate", Path(candidate.uri) / "gate")
    assert discard_equal(candidate, config.storage) is None


def test_the_same_answers_asked_again_are_the_same_release(scripted_run: Run, copied: Path) -> None:
    folder, before, _ = scripted_run
    config = configs.load(str(copied))
    shutil.rmtree(copied.parent / "storage/tables")
    again = found(config, run_here(config))
    assert sorted(asked(copied.parent)) == sorted(set(asked(folder)))
    assert again is not None
    assert again.version == before.version


def test_a_change_that_changes_no_file_is_no_release_and_is_looked_at_once(
    scripted_run: Run, copied: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before, _ = scripted_run
    copied.write_text(copied.read_text().replace("[prompts]", "[review]\nanswers = 3\n\n[prompts]"))
    after, _ = pipeline(str(copied))
    assert after.version == before.version
    assert not list((copied.parent / "storage/candidates").glob("*/*"))
    monkeypatch.setattr("flows.preferences_to_candidate.write_candidate", None)
    again, _ = pipeline(str(copied))
    assert again.version == before.version


def test_truncated_tables_are_set_aside_and_made_again(scripted_run: Run, copied: Path) -> None:
    config = configs.load(str(copied))
    tables = [
        path for path in (copied.parent / "storage/tables").glob("*/*.parquet") if path.parent.name not in KEPT_BY_BLOCK
    ]
    for number, table in enumerate(tables):
        table.write_bytes(table.read_bytes()[: -20 if number % 2 else 0])
    again = found(config, run_here(config, refuse))
    assert again is not None
    assert again.version == scripted_run[1].version
    mended = [table for table in tables if table.with_name(f"{table.name}.broken").exists()]
    assert {"sources", "labels", "preferences", "dropped"} <= {table.parent.name for table in mended}
    assert all(pq.read_metadata(table) for table in mended)


def copy_code(tree: Path) -> None:
    for package in identity.KINDS:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))


def forget() -> None:
    for name, value in vars(identity).items():
        if hasattr(value, "cache_clear") and name not in ("bare", "parsed", "parser"):
            value.cache_clear()


def mended(text: str) -> str:
    return text.replace("'blank'", "'empty'")


def commented(text: str) -> str:
    return f"{text}\n-- said"


@pytest.mark.parametrize(("change", "times"), [(None, 1), (commented, 1), (mended, 2)])
def test_a_retry_does_again_what_mended_code_has_to_do_with(
    tmp_path: Path,
    prefect_server: None,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[str], str] | None,
    times: int,
) -> None:
    settings = configs.load(str(write_config(tmp_path)))
    tree = tmp_path / "code"
    copy_code(tree)
    calls: list[str] = []
    attempts: list[int] = []

    def build_and_count(*arguments: Any) -> Stage:
        calls.append("prompts")
        return build_prompts(*arguments)

    monkeypatch.setattr(identity, "ROOT", tree)
    monkeypatch.setattr("flows.sources_to_prompts.build_prompts", build_and_count)
    monkeypatch.setattr("flows.running.caching.can_be_retried", lambda: True)
    forget()

    @flow(retries=1)
    def failing_once() -> None:
        sources_to_prompts(settings, str(tmp_path / "tables"))
        attempts.append(1)
        if len(attempts) == 1:
            query = tree / "tasks/prompts/sql/screened_prompts.sql"
            if change:
                query.write_text(change(query.read_text()))
            forget()
            raise ValueError("once")

    failing_once()
    monkeypatch.undo()
    forget()
    assert len(attempts) == 2
    assert len(calls) == times


CODE = {
    "tasks/sql/kept.sql": "SELECT",
    "tasks/sql/dropped.sql": "SELECT",
    "tasks/sql/macros.sql": "lower",
    "tasks/release/sql/release_qa.sql": "SELECT",
    "tasks/release/templates/dataset.sql": "SELECT",
    "expectations/sql/qa_twice.sql": "SELECT",
    "expectations/sql/recounts/sources_to_prompts.sql": "SELECT",
    "tasks/judging/rubric/standard/harm.md": "safe",
    "tasks/judging/rubric/llama-guard-3.csv": "S1,",
    "tasks/card/reference.toml": "statistic",
    "tasks/warehouse.py": "def sift",
    "tasks/prompts/formats.py": "def json_lines",
    "flows/sources_to_prompts.py": "build_prompts(",
    "expectations/copies.py": "def copies",
    "infra/label_studio.py": "def ",
}
"""Files that a retry depends on, each with what is there to be mended."""


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """What a task's result is kept under, for a configuration whose model and code stand in folders of the test."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text("{}")
    copy_code(tmp_path / "code")
    monkeypatch.setattr(identity, "ROOT", tmp_path / "code")
    settings = configs.load(str(write_config(tmp_path)))
    engine = Transformers(kind="transformers", model=str(model))
    settings = settings.model_copy(
        update={"responders": (settings.responders[0].model_copy(update={"engine": engine}), *settings.responders[1:])}
    )

    def of(task: Any = sources_to_prompts, **told: object) -> str:
        forget()
        checkpoint_identity.cache_clear()
        return key_of(inspect.unwrap(task), {"config": settings, "folder": str(tmp_path / "tables")} | told)

    yield of
    monkeypatch.undo()
    forget()


def test_the_key_of_a_retry_changes_with_all_code_queries_prompts_and_models_and_with_nothing_else(
    tmp_path: Path, key: Callable[..., str]
) -> None:
    before = key()
    for name, part in CODE.items():
        file = tmp_path / "code" / name
        text = file.read_text()
        assert part in text, name
        file.write_text(text.replace(part, f"{part}_"))
        assert key() != before, name
        if file.suffix in (".sql", ".py"):
            first, _, rest = text.partition("\n")
            file.write_text(f"{first}\n-- said\n{rest}" if file.suffix == ".sql" else f"# said\n\n{text}\n'Said.'\n")
            assert key() == before, name
        file.write_text(text)
    prompts, weights = tmp_path / "prompts.jsonl", tmp_path / "model/model.safetensors"
    for file in (prompts, weights):
        text = file.read_text()
        file.write_text(text.replace("tulips", "roses").replace("{}", "{ }"))
        assert key() != before, file.name
        file.write_text(text)
        assert key() == before, file.name
        os.utime(file, (1, 1))
        assert key() == before, file.name
    text = prompts.read_text()
    prompts.unlink()  # read and done with: what comes after does not need it
    assert key() == key() != before
    prompts.write_text(text)
    for name in ("README.md", "tasks/README.md", "flows/configs/demo.toml", "tasks/prompts/notes.txt"):
        (tmp_path / "code" / name).write_text("said")
        assert key() == before, name
    assert key(folder="elsewhere") != before


def test_no_two_tasks_are_kept_under_one_key(key: Callable[..., str]) -> None:
    modules = [import_module(f"flows.{path.stem}") for path in (ROOT / "flows").glob("*_to_*.py")]
    tasks = {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Task)}
    assert len(tasks) >= len(modules)
    assert len({key(task) for task in tasks.values()}) == len(tasks)


def test_a_retry_makes_again_the_tables_that_were_deleted_or_broke_since(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.running.caching.can_be_retried", lambda: True)
    settings = configs.load(str(write_config(tmp_path)))
    made: list[Stage] = []

    @flow(retries=2)
    def failing_twice() -> None:
        made.extend(perform_in_run(sources_to_prompts, (settings, str(tmp_path / "tables"))))
        if len(made) == 1:
            shutil.rmtree(tmp_path / "tables")
            raise ValueError("once")
        if len(made) == 2:
            Path(made[0].tables["prompts"].uri).write_bytes(b"PAR1")
            raise ValueError("twice")

    failing_twice()
    assert len({stage.tables["prompts"] for stage in made}) == 1
    assert pq.read_table(made[0].tables["prompts"].uri).num_rows == made[0].rows_kept
