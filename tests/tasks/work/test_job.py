"""A job goes to its cluster and back whatever it does there."""

import json
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flows.running.clusters import manifest, place
from infra import ray_cluster, storage
from tasks.config import Attach, KubeRay, Local
from tasks.errors import ModelError, StorageError
from tasks.tables import Cost
from tasks.work.job import Job, Progress, read_line
from tests.tasks.work.training import Training


def test_progress_with_errors_is_read_as_it_was_told() -> None:
    cost = Cost(asked=2, errors=(("RateLimitError (status 429): later", 2),))
    told = json.dumps({"rows": 2, "cost": {"asked": 2, "errors": [["RateLimitError (status 429): later", 2]]}})
    assert read_line(told) == Progress(2, cost)


def training(rows: int) -> Training:
    return Training(id="1", name="training", rows=rows, gpus=6, workers=3)


@pytest.fixture(params=["here", "elsewhere"])
def run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Job], list[Progress]]:
    """Runs a job in this process, or as the program that a cluster is told to run; gives what is heard of it."""
    monkeypatch.setattr(ray_cluster, "connect", lambda cpus: None)
    monkeypatch.setattr(ray_cluster, "attach", lambda: None)

    def program(cluster: Attach, job: Job, command: list[str], say: Callable[[str], None]) -> None:
        python, option, module, uri = command
        assert (python, option) == ("python", "-m")
        monkeypatch.setattr(sys, "argv", [module, uri])
        monkeypatch.delitem(sys.modules, module, raising=False)
        with suppress(SystemExit):
            runpy.run_module(module, run_name="__main__")
        for line in capsys.readouterr().out.splitlines():
            say(line)

    monkeypatch.setattr("flows.running.clusters.on_existing_cluster", program)
    cluster = Local(kind="local") if request.param == "here" else Attach(kind="attach", address="http://127.0.0.1:9")

    def run(job: Job) -> list[Progress]:
        heard: list[Progress] = []
        place(cluster, job, str(tmp_path), heard.append)
        return heard

    return run


def test_a_job_of_another_kind_runs_wherever_a_configuration_says(run: Callable[[Job], list[Progress]]) -> None:
    assert run(training(2)) == [Progress(1, Cost(gpu_seconds=6)), Progress(2, Cost(gpu_seconds=12))]
    with pytest.raises(ModelError, match="training: nothing to see"):
        run(training(0))


@pytest.mark.parametrize("run", ["elsewhere"], indirect=True)
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_job_whose_file_was_changed_or_is_gone_since_it_was_handed_over_does_not_run(
    run: Callable[[Job], list[Progress]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    put = storage.write_bytes

    def changed(uri: str, content: bytes) -> None:
        if not is_gone:
            put(uri, content.replace(b"training", b"draining"))

    monkeypatch.setattr(storage, "write_bytes", changed)
    with pytest.raises(
        StorageError, match="cannot be read: No such file" if is_gone else "is not the job that was handed over"
    ):
        run(training(2))


def test_a_job_of_another_kind_sizes_its_cluster() -> None:
    made: Any = manifest(KubeRay(kind="kuberay", image="safepairs:1"), training(1), ["true"])
    (workers,) = made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert (workers["replicas"], container["resources"]["limits"]["nvidia.com/gpu"]) == (3, "2")
