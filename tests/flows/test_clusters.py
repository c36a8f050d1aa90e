import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prefect import flow
from prefect.exceptions import Pause, TerminationSignal

from flows.pipeline import main, plan
from flows.prompts_to_responses import prompts_to_responses
from flows.running import clusters
from flows.running.clusters import alone, job_runner, manifest
from flows.running.perform import perform_in_plan, perform_in_run
from flows.running.reports import counts, describe_progress, print_plan, untold
from infra import lock
from tasks import config as configs
from tasks.config import Cluster, KubeRay
from tasks.engines.openai import OpenAI
from tasks.engines.scripted import Scripted
from tasks.engines.vllm import Vllm
from tasks.errors import BudgetSpent, ModelError, StorageError
from tasks.plan import Planned
from tasks.prompts.prompts import build_prompts
from tasks.release.candidate import stage_rows
from tasks.tables import REQUESTS, TOKENS, Cost, Ref, Stage
from tasks.work.answering import Answering
from tasks.work.job import Job, Progress, RunJob, Tell
from tests.conftest import KEY_VARIABLE, ROOT, asked, write_config
from tests.flows.here import run_here
from tests.processes import own_environment
from tests.tasks.engines.endpoint_server import endpoint
from tests.tasks.engines.odd_replies import http, says
from tests.tasks.rows import make
from tests.tasks.work.here import fill_here
from tests.tasks.work.training import Training
from tests.waiting import until

BLOCK_ROWS = 8
OF_A_RESPONDER = 12 * 3
"""Requests: twelve prompts, three samples each."""


def add(config: Path, text: str) -> Path:
    config.write_text(config.read_text() + text)
    return config


def test_a_run_stops_when_its_budget_of_tokens_is_spent_and_the_next_one_goes_on(
    tmp_path: Path, cluster: RunJob, prefect_server: None
) -> None:
    config = configs.load(str(add(write_config(tmp_path), "\n[budget]\nmax_tokens = 200\n")))
    with pytest.raises(BudgetSpent, match="max_tokens is 200"), job_runner(config, config.storage, lambda: None) as run:
        run_here(config, run)
    answered = run_here(config)[1]
    costs = [answered.costs[f"responses by scripted-{name}"] for name in "ab"]
    assert costs[0].found >= BLOCK_ROWS
    assert [cost.asked + cost.found for cost in costs] == [OF_A_RESPONDER, OF_A_RESPONDER]
    assert costs[1].found == 0
    again = Counter(asked(tmp_path))
    assert set(again.values()) <= {1, 2}
    assert list(again.values()).count(2) <= 2 * BLOCK_ROWS


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": 9}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_a_budget_of_tokens_stops_a_run_whose_endpoint_tells_none_and_says_that_it_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usage: object
) -> None:
    monkeypatch.setattr(clusters, "show_progress", lambda job: lambda progress: None)
    monkeypatch.setattr(clusters, "place", lambda cluster, job, root, tell: fill_here(job, tell))
    rows = [{"request_id": f"q{at}", "user": f"How do I plant {at} tulips?", "max_tokens": 64} for at in range(40)]
    pq.write_table(make(REQUESTS, rows), tmp_path / "asked.parquet")
    config = configs.load(str(add(write_config(tmp_path), "\n[budget]\nmax_tokens = 400\n")))
    heard: list[Progress] = []
    with endpoint(lambda body: http(says("In autumn, twice as deep as they are high.", usage))) as served:
        model = OpenAI(kind="openai", base_url=served.url, model="m", key_variable=KEY_VARIABLE, block_rows=4)
        pending = Ref(str(tmp_path / "asked.parquet"), len(rows), "")
        work = Answering(id="a", name="answers", model=model, pending=pending, store=str(tmp_path / "store"))
        with (
            pytest.raises(BudgetSpent, match=r"(\d+) tokens asked \(\1 of them estimated .*, max_tokens is 400"),
            job_runner(config, str(tmp_path), lambda: None) as run,
        ):
            run(work, heard.append)
    assert 4 <= served.asked.total() <= 20
    cost = heard[-1].cost
    assert (cost.input_tokens, cost.output_tokens) == (0, 0)
    assert f"~{cost.estimated_input_tokens:,} tokens in, ~{cost.estimated_output_tokens:,} out, ~" in describe_progress(
        work, heard[-1]
    )


def test_progress_says_of_a_job_without_tokens_nothing_that_is_true_of_requests_alone() -> None:
    job = Training(id="1", name="training", rows=2000, gpus=6, workers=3)
    said = describe_progress(job, Progress(1000, Cost(start_seconds=3, seconds=50)))
    assert said == "training: 1,000 of 2,000, started in 3 s, at work for 50 s"


def test_tokens_that_were_told_and_such_as_are_estimated_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    cost = Cost(input_tokens=1200, estimated_input_tokens=34, estimated_output_tokens=5000, seconds=10)
    told, guessed = (Stage("s", "row", 1, 1, Ref("", 0, ""), {}, {"work": spent}) for spent in (Cost(), cost))
    shown = counts(guessed)
    assert (shown["tokens in"], shown["tokens out"], shown["out/s"]) == ("1,200 + ~34", "~5,000", "~500")
    assert (counts(told)["tokens in"], untold([told]), bool(untold([told, guessed]))) == ("0", "", True)
    (row,) = stage_rows([guessed]).to_pylist()
    assert [row[name] for name in TOKENS] == [1200, 0, 34, 5000]
    print_plan([Planned("answers", 9, 0, True, 77, 88, 60.0, 0.0, estimated=True)])
    assert "~77" in capsys.readouterr().out


def test_a_run_stops_when_its_gpu_hours_are_spent() -> None:
    budget = configs.Budget(max_gpu_hours=0.5)
    clusters.keep_to(budget, Cost(gpu_seconds=1799), "answers")
    with pytest.raises(BudgetSpent, match=r"max_gpu_hours is 0\.5"):
        clusters.keep_to(budget, Cost(gpu_seconds=1800), "answers")


def test_a_responder_that_fails_leaves_the_others_alone(tmp_path: Path, cluster: RunJob, prefect_server: None) -> None:
    fault = tmp_path / "fault"
    fault.write_text("0")
    path = write_config(tmp_path)
    head, second = path.read_text().split('name = "scripted-b"')
    path.write_text(head + 'name = "scripted-b"' + second.replace(" }", f', fault = "{fault}" }}', 1))
    config, tables = configs.load(str(path)), str(tmp_path / "tables")
    prompts = build_prompts(config, tables).tables["prompts"]

    @flow
    def answers() -> Stage:
        with job_runner(config, tables, lambda: None) as run:
            return prompts_to_responses(config, prompts, tables, run, perform_in_run)

    with pytest.raises(ModelError, match=r"responses by scripted-b: the engine of scripted stopped: .*injected fault"):
        answers()
    assert len(asked(tmp_path)) == len(set(asked(tmp_path))) == OF_A_RESPONDER
    fault.unlink()
    again = prompts_to_responses(config, prompts, tables, fill_here, perform_in_plan)
    costs = [again.costs[f"responses by scripted-{name}"] for name in "ab"]
    assert [(cost.asked, cost.found) for cost in costs] == [(0, OF_A_RESPONDER), (OF_A_RESPONDER, 0)]


def job(name: str, model: Any = None) -> Answering:
    scripted = Scripted(kind="scripted")
    return Answering(id=name, name=name, model=model or scripted, pending=Ref("", 1, ""), store="")


@pytest.mark.parametrize("at_once", [1, 3])
def test_as_many_jobs_run_at_once_as_the_cluster_is_set_to(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    config = configs.load(str(add(write_config(tmp_path), f'\n[cluster]\nkind = "local"\njobs = {at_once}\n')))
    together = threading.Barrier(at_once)
    lock, running, most = threading.Lock(), 0, 0

    def place(cluster: Cluster, job: Job, root: str, tell: Tell) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=300)
        with lock:
            running -= 1
        tell(Progress(1, Cost()))

    monkeypatch.setattr(clusters, "place", place)
    with job_runner(config, str(tmp_path), lambda: None) as run:
        threads = [threading.Thread(target=run, args=(job(f"job {n}"), lambda _: None)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == at_once


def test_a_ray_job_on_kubernetes_is_sized_by_its_model() -> None:
    cluster = KubeRay(kind="kuberay", image="safepairs:1", cpus=8, memory="64Gi", secret="s3")  # noqa: S106 (a name)
    model = Vllm(kind="vllm", model="m", revision="1", replicas=3, tensor_parallel=2, pipeline_parallel=2)
    made: Any = manifest(cluster, job("answers", model), ["python", "-m", "tasks.work.answering", "s3://b/j.json"])
    (workers,) = made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert workers["replicas"] == 6
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["limits"]["cpu"] == "8"


def test_two_runs_do_not_work_on_one_storage(tmp_path: Path) -> None:
    with alone(str(tmp_path)), pytest.raises(StorageError, match="another run is at work"), alone(str(tmp_path)):
        pass


@pytest.mark.parametrize("stopping", [KeyboardInterrupt(), TerminationSignal(signal.SIGTERM), StorageError("")])
def test_a_run_that_is_told_to_stop_has_no_job_at_work_behind_it_and_starts_none(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch, stopping: BaseException
) -> None:
    at_work, stopped, ends = Counter[str](), Counter[str](), Counter[str]()
    places = threading.Semaphore(0)

    def place(cluster: Cluster, job: Job, root: str, tell: Tell) -> None:
        at_work[job.name] += 1
        places.acquire()
        at_work[job.name] -= 1
        raise ModelError("the job was stopped")

    def stop(cluster: Cluster, job: Job) -> None:
        stopped[job.name] += 1
        if stopped[job.name] == 2:  # the first one came before the cluster knew the job
            places.release()

    def work(job: Job) -> None:
        try:
            run(job, lambda _: None)
        except ModelError as error:
            ends[str(error)] += 1

    monkeypatch.setattr(clusters, "place", place)
    monkeypatch.setattr(clusters, "stop", stop)
    monkeypatch.setattr(clusters, "SECONDS_BETWEEN_STOPS", 0.01)
    config = configs.load(str(add(write_config(tmp_path), '\n[cluster]\nkind = "local"\njobs = 2\n')))
    threads = [threading.Thread(target=work, args=(job(f"job {n}"),)) for n in range(4)]

    def start_and_stop() -> None:
        for thread in threads:
            thread.start()
        until(lambda: len(at_work) == 2)
        raise stopping

    with pytest.raises(type(stopping)), job_runner(config, str(tmp_path), lambda: None) as run:
        start_and_stop()
    assert at_work.total() == 0
    for thread in threads:
        thread.join()
    assert len(at_work) == 2
    assert len(ends) == ends.total() == 4
    assert all("its run has ended" in end for end in ends)


def test_a_storage_is_held_until_the_end_by_a_body_that_was_told_to_stop(tmp_path: Path) -> None:
    for ends, is_held in ((StorageError, False), (Pause, False), (KeyboardInterrupt, True)):
        with pytest.raises(ends), alone(str(tmp_path)):
            raise ends("told")
        with nullcontext() if not is_held else pytest.raises(StorageError, match="at work"), alone(str(tmp_path)):
            pass
    lock.UNTIL_THE_END.close()
    with alone(str(tmp_path)):
        pass


def test_a_run_whose_storage_was_taken_over_stops_at_its_next_block(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def place(cluster: Cluster, job: Job, root: str, tell: Tell) -> None:
        for rows in (1, 2, 3):
            tell(Progress(rows, Cost()))

    def check() -> None:
        if len(heard) == 2:
            raise StorageError("another run took it over")

    monkeypatch.setattr(clusters, "place", place)
    config = configs.load(str(write_config(tmp_path)))
    with pytest.raises(StorageError, match="took it over"), job_runner(config, str(tmp_path), check) as run:
        run(job("answers"), lambda progress: heard.append(progress.rows))
    assert heard == [1, 2]


def test_a_plan_counts_requests_and_asks_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configs.load(str(write_config(tmp_path)))
    root = str(tmp_path / "storage")
    before = plan(config, root)
    assert [(work.name, work.wanted, work.answered, work.exact) for work in before] == [
        ("responses by scripted-a", 36, 0, True),
        ("responses by scripted-b", 36, 0, True),
        ("labels by judge", 12 * 2 * 2 * 3, 0, False),
        ("preferences by judge", 12 * 2 * 6, 0, False),
    ]
    assert {work.input_tokens for work in before} == {None}
    assert asked(tmp_path) == []
    run_here(config)
    number = len(asked(tmp_path))
    after = plan(config, root)
    assert [work.to_ask for work in after] == [0, 0, 0, 0]
    assert all(work.exact for work in after)
    assert [work.wanted for work in after] == [work.wanted for work in before]
    assert len(asked(tmp_path)) == number
    monkeypatch.setattr("sys.argv", ["pipeline", str(tmp_path / "config.toml"), "--plan"])
    main()
    assert "labels by judge" in capsys.readouterr().out


def test_a_plan_reaches_for_no_prefect_server_and_no_cluster(tmp_path: Path) -> None:
    environment = own_environment(
        tmp_path / "prefect", PREFECT_API_URL="http://127.0.0.1:9/api", RAY_ADDRESS="127.0.0.1:9"
    )
    command = [sys.executable, "-m", "flows.pipeline", str(write_config(tmp_path)), "--plan"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "preferences by judge" in done.stdout


def test_a_plan_expects_what_the_same_work_took_before(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    run_here(configs.load(str(config)))
    few = plan(configs.load(str(config)), str(tmp_path / "storage"))
    write_config(tmp_path, [f"How do I plant {number} tulips?" for number in range(24)])
    more = plan(configs.load(str(config)), str(tmp_path / "storage"))
    assert [work.to_ask for work in more] == [36, 36, 144, 144]
    assert [work.answered for work in more] == [work.wanted for work in few]
    for work in more:
        assert work.input_tokens
        assert work.output_tokens
        assert work.seconds
        assert work.gpu_hours == 0
