from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra import storage
from tasks.engines.blocks import commit, put
from tasks.engines.chat import too_long
from tasks.engines.scripted import Scripted
from tasks.engines.transformers import Transformers
from tasks.engines.vllm import Vllm
from tasks.errors import ModelError, StorageError
from tasks.identity import digest
from tasks.tables import COMPLETIONS, REQUESTS, Cost, Ref
from tasks.work import store
from tasks.work.answering import Answering
from tasks.work.job import Job, Progress, RunJob, Tell
from tasks.work.store import Work, obtain
from tests.tasks.rows import make, read
from tests.tasks.work.here import fill_here


def requests(folder: Path, *ids: str) -> Ref:
    uri = folder / f"{len(ids)}.parquet"
    rows = [{"request_id": request_id, "user": "How are you?", "seed": 1} for request_id in ids]
    pq.write_table(make(REQUESTS, rows), uri)
    return Ref(str(uri), len(ids), digest(ids))


def work(folder: Path, fault: Path | None = None) -> Work:
    model = Scripted(
        kind="scripted", block_rows=2, journal=str(folder / "journal"), fault=str(fault) if fault else None
    )
    return Work("answers", "m@1", model, wanted=REQUESTS, kept=COMPLETIONS)


def journal(folder: Path) -> list[str]:
    return (folder / "journal").read_text().split()


def blocks(found: Ref) -> list[str]:
    return storage.listing(found.uri.rsplit("/", 1)[0], ".parquet")


def test_only_what_the_store_lacks_is_asked(tmp_path: Path) -> None:
    tables = str(tmp_path / "tables")
    _, first = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c"), tables, fill_here)
    _, second = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d", "e"), tables, fill_here)
    found, third = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d", "e"), tables, fill_here)
    assert [(cost.asked, cost.found) for cost in (first, second, third)] == [(3, 0), (2, 3), (0, 5)]
    assert sorted(journal(tmp_path)) == ["a", "b", "c", "d", "e"]
    answered = read(found)
    assert first.input_tokens == 3 * answered[0]["input_tokens"]
    assert first.output_tokens + second.output_tokens == sum(row["output_tokens"] for row in answered)
    assert found.rows == 5


def test_a_job_with_other_settings_is_another_job_for_the_same_store(tmp_path: Path) -> None:
    asked, tables = requests(tmp_path, "a"), str(tmp_path / "tables")
    jobs: list[Any] = []
    for parallel in (1, 8, 8):
        model = Vllm(kind="vllm", model="m", revision="1", tensor_parallel=parallel)
        of_model = Work("answers", model.identity(), model, wanted=REQUESTS, kept=COMPLETIONS)
        obtain(of_model, asked, tables, lambda job, _: jobs.append(job))
    first, mended, again = jobs
    assert first.id != mended.id == again.id
    assert first.store == mended.store


def answer_within(positions: int) -> RunJob:
    """Runs a job by the numbers of tokens that prompts name: what fits is answered, what does not is found too long."""

    def run(job: Job, tell: Tell) -> None:
        assert isinstance(job, Answering)
        rows = read(job.pending)
        answered = []
        for row in rows:
            error = too_long(int(row["user"]), row["max_tokens"], positions)
            said = {"error": error} if error else {"completion": "Yes.", "output_tokens": 2}
            answered.append({"request_id": row["request_id"], "input_tokens": int(row["user"])} | said)
        asked = make(REQUESTS, rows)
        (told,) = commit(make(COMPLETIONS, answered), job.store, asked).to_pylist()
        tell(Progress(len(rows), Cost(input_tokens=told["input_tokens"])))

    return run


def test_what_is_longer_than_the_model_is_not_asked_again_before_the_model_has_room_for_it(tmp_path: Path) -> None:
    rows = [{"request_id": f"r{tokens}", "user": str(tokens), "max_tokens": 7} for tokens in (20, 90, 200)]
    pq.write_table(make(REQUESTS, rows), tmp_path / "wanted.parquet")
    wanted, tables = Ref(str(tmp_path / "wanted.parquet"), 3, "wanted"), str(tmp_path / "tables")
    steps = (
        (80, 1, 20, 3),
        (80, 1, 0, 0),
        (60, 1, 0, 0),
        (97, 2, 90, 1),
        (97, 2, 0, 0),
        (300, 3, 200, 1),
        (80, 3, 0, 0),
    )
    for positions, answered, tokens, asked in steps:
        model = Vllm(kind="vllm", model="m", revision="1", max_model_len=positions)
        # Under one identity: to raise the model's length must not have everything asked again.
        within = Work("answers", "m@1", model, wanted=REQUESTS, kept=COMPLETIONS)
        found, cost = obtain(within, wanted, tables, answer_within(positions))
        assert (cost.asked, cost.found, found.rows) == (asked, 3 - asked, 3)
        assert cost.input_tokens == tokens
        assert len({row["request_id"] for row in read(found) if row["error"] is None}) == answered


def test_an_engine_that_fails_is_named_with_its_last_words_and_keeps_what_it_answered(
    tmp_path: Path, cluster: RunJob
) -> None:
    fault = tmp_path / "fault"
    fault.write_text("4")
    asked = requests(tmp_path, *"abcdefgh")
    with pytest.raises(ModelError, match=r"answers: the engine of scripted stopped: .*injected fault"):
        obtain(work(tmp_path, fault), asked, str(tmp_path / "tables"), cluster)
    fault.unlink()
    _, cost = obtain(work(tmp_path, fault), asked, str(tmp_path / "tables"), cluster)
    assert (cost.asked, cost.found) == (4, 4)
    assert sorted(journal(tmp_path)) == list("abcdefgh")


def test_an_engine_that_cannot_start_is_named_with_its_last_words(tmp_path: Path, cluster: RunJob) -> None:
    (tmp_path / "no-model").mkdir()
    (tmp_path / "no-model/config.json").write_text("{}")
    model = Transformers(kind="transformers", model=str(tmp_path / "no-model"))
    broken = Work("answers", "m@1", model, wanted=REQUESTS, kept=COMPLETIONS)
    with pytest.raises(ModelError, match=r"answers: the engine of .*no-model stopped: .+; what is answered is kept"):
        obtain(broken, requests(tmp_path, "a"), str(tmp_path / "tables"), cluster)


def test_a_block_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(tmp_path / "store" / "block.parquet")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left on device"):
        put(COMPLETIONS.schema.empty_table(), uri)
    assert storage.listing(str(tmp_path / "store")) == []


def test_every_block_is_a_file_of_its_own(tmp_path: Path) -> None:
    found, _ = obtain(work(tmp_path), requests(tmp_path, *(f"r{i}" for i in range(10))), str(tmp_path), fill_here)
    assert sorted(pq.read_metadata(block).num_rows for block in blocks(found)) == [0, 2, 2, 2, 2, 2]


def test_many_blocks_become_one_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_BLOCKS", 3)
    tables = str(tmp_path / "tables")
    found, _ = obtain(work(tmp_path), requests(tmp_path, *"abcdefgh"), tables, fill_here)
    assert len(blocks(found)) == 5
    store.compact(tables)
    assert len(blocks(found)) == 1
    assert sorted(row["request_id"] for row in read(found)) == list("abcdefgh")
    _, again = obtain(work(tmp_path), requests(tmp_path, *"abcdefgh"), tables, fill_here)
    assert again.asked == 0


def test_the_rows_of_a_truncated_block_are_asked_again(tmp_path: Path) -> None:
    tables = str(tmp_path / "tables")
    found, _ = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d"), tables, fill_here)
    victim = next(Path(block) for block in blocks(found) if pq.read_metadata(block).num_rows)
    lost = set(pq.read_table(victim)["request_id"].to_pylist())
    victim.write_bytes(victim.read_bytes()[:-20])
    mended, cost = obtain(work(tmp_path), requests(tmp_path, "a", "b", "c", "d", "e"), tables, fill_here)
    assert cost.asked == len(lost) + 1
    assert sorted(row["request_id"] for row in read(mended)) == ["a", "b", "c", "d", "e"]
    assert victim.with_name(f"{victim.name}.broken").exists()


def test_a_job_without_an_answer_is_not_what_the_next_plan_measures_by(tmp_path: Path) -> None:
    def run(errors: tuple[tuple[str, int], ...]) -> RunJob:
        return lambda job, tell: tell(Progress(job.rows, Cost(seconds=1, errors=errors)))

    asked, tables = requests(tmp_path, "a", "b"), str(tmp_path / "tables")
    told = store.history(store.store_address(tables, COMPLETIONS, "m@1"), "answers")
    obtain(work(tmp_path), asked, tables, run((("filtered", 1), ("status 500", 1))))
    assert not storage.exists(told)
    obtain(work(tmp_path), asked, tables, run((("filtered", 1),)))
    before = storage.read_bytes(told)
    obtain(work(tmp_path), asked, tables, run((("filtered", 2),)))
    assert storage.read_bytes(told) == before
