from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import jsonschema
import pytest
import yaml

from infra import kuberay
from tests.conftest import ROOT
from tests.infra.kubernetes_server import NAMESPACE, RAYJOBS, KubernetesServer, kubernetes_server

NAME = "answers-1f3a"
SCHEMA = ROOT.parent / "shared/data/kuberay/ray.io_rayjobs.yaml"
COMPLETE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": "out of memory"}


def manifest(**values: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "namespace": NAMESPACE,
        "image": "safepairs:tests",
        "entrypoint": ["python", "-m", "work", "a b"],
        "workers": 2,
        "cpus": 4,
        "gpus": 0,
        "memory": "16Gi",
        "secret": "storage",
    }
    return kuberay.rayjob(NAME, **settings | values)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesServer]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with kubernetes_server(tmp_path / "kubeconfig") as server:
        server.on_create = lambda name: start(server)
        yield server


def start(server: KubernetesServer) -> None:
    server.print_line(NAME, "one")
    server.update(NAME, jobDeploymentStatus="Running", jobStatus="RUNNING")


def posts(server: KubernetesServer) -> int:
    return server.requests.count(f"POST {RAYJOBS}")


class Said(list[str]):
    """What `say` was given; does `then` at the line "one"."""

    def __init__(self, then: Any) -> None:
        self.then = then

    def __call__(self, line: str) -> None:
        self.append(line)
        if line == "one":
            self.then()


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    if not SCHEMA.exists():
        pytest.skip("KubeRay's schema is not on this machine")
    definition = yaml.load(SCHEMA.read_text(), yaml.CSafeLoader)
    (version,) = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
    whole: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return whole


def unknown_fields(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Where `value` has a field that the API server would prune or refuse."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or "x-kubernetes-int-or-string" in schema:
        return []
    if isinstance(value, list):
        return [found for item in value for found in unknown_fields(item, schema["items"], f"{path}[]")]
    if not isinstance(value, dict):
        return []
    known, free = schema.get("properties", {}), schema.get("additionalProperties")
    if path == ".metadata":  # the API server's own ObjectMeta, which a CRD does not spell out
        return []
    found = []
    for key, item in value.items():
        inner = known.get(key, free if isinstance(free, dict) else None)
        found += [f"{path}.{key}"] if inner is None else unknown_fields(item, inner, f"{path}.{key}")
    return found


@pytest.mark.parametrize("values", [{"gpus": 0}, {"gpus": 2}, {"secret": None}], ids=str)
def test_a_manifest_is_what_kuberay_publishes(schema: dict[str, Any], values: dict[str, Any]) -> None:
    rendered = manifest(**values)
    jsonschema.Draft202012Validator(schema).validate(rendered)
    assert unknown_fields(rendered, schema) == []


def test_the_check_of_manifests_finds_what_is_wrong(schema: dict[str, Any]) -> None:
    wrong = manifest()
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    assert unknown_fields(wrong, schema) == [".spec.rayClusterSpec.workerGroupSpecs[].replica"]
    wrong["spec"]["backoffLimit"] = "none"
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_only_workers_have_gpus_and_every_pod_has_the_secret() -> None:
    spec = manifest(gpus=2)["spec"]["rayClusterSpec"]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    (worker,) = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    gpu = "nvidia.com/gpu"
    assert worker["resources"]["limits"][gpu] == worker["resources"]["requests"][gpu] == "2"
    assert gpu not in head["resources"]["limits"]
    assert gpu not in str(manifest(gpus=0))
    assert head["envFrom"] == worker["envFrom"] == [{"secretRef": {"name": "storage"}}]
    assert "envFrom" not in str(manifest(secret=None))


def test_the_entrypoint_keeps_its_words() -> None:
    assert manifest()["spec"]["entrypoint"] == "python -m work 'a b'"


@pytest.mark.parametrize("name", ["", "1abc", "Abc", "a_b", "a-", "a" * 48])
def test_a_name_that_kuberay_would_ignore_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        kuberay.rayjob(
            name, namespace="n", image="i", entrypoint=["e"], workers=1, cpus=1, gpus=0, memory="1Gi", secret=None
        )


def test_a_kuberay_that_would_start_ray_without_tokens_is_refused_and_left_empty(server: KubernetesServer) -> None:
    server.knows_tokens = False
    with pytest.raises(kuberay.JobRefused, match=r"1\.5\.1"):
        kuberay.run(manifest(), Said(lambda: server.update(NAME, **COMPLETE)))
    assert server.jobs == {}


def test_a_job_that_completes_is_heard_and_deleted(server: KubernetesServer) -> None:
    def finish() -> None:
        server.print_line(NAME, '{"two": 2}')
        server.print_line(NAME, "")
        server.print_line(NAME, "drei \u2028 vier")
        server.update(NAME, **COMPLETE)

    said = Said(finish)
    kuberay.run(manifest(), said)
    assert said == ["one", '{"two": 2}', "", "drei \u2028 vier"]
    assert server.jobs == {}
    assert posts(server) == 1


def test_a_submitter_that_starts_again_is_heard_too(server: KubernetesServer) -> None:
    def go_on() -> None:
        server.print_line(NAME, "two", pod="submitter-b")
        server.update(NAME, **COMPLETE)

    said = Said(go_on)
    kuberay.run(manifest(), said)
    assert said == ["one", "two"]


def test_a_job_that_fails_says_why_and_is_deleted(server: KubernetesServer) -> None:
    with pytest.raises(kuberay.JobFailed, match="AppFailed: out of memory\none") as caught:
        kuberay.run(manifest(), Said(lambda: server.update(NAME, **FAILED)))
    assert NAME in str(caught.value)
    assert server.jobs == {}


@pytest.mark.parametrize(
    "status",
    [COMPLETE | {"jobStatus": "STOPPED"}, {"jobDeploymentStatus": "ValidationFailed"}],
    ids=lambda status: status["jobDeploymentStatus"],
)
def test_a_job_that_was_stopped_or_never_began_has_failed(server: KubernetesServer, status: dict[str, str]) -> None:
    with pytest.raises(kuberay.JobFailed):
        kuberay.run(manifest(), Said(lambda: server.update(NAME, **status)))
    assert server.jobs == {}


def test_a_job_that_somebody_deletes_is_lost(server: KubernetesServer) -> None:
    with pytest.raises(kuberay.JobLost, match="deleted by somebody else"):
        kuberay.run(manifest(), Said(lambda: server.remove(NAME)))


def test_a_job_that_is_being_deleted_is_lost(server: KubernetesServer) -> None:
    server.has_finalizer = True
    with pytest.raises(kuberay.JobLost, match="deleted by somebody else"):
        kuberay.run(manifest(), Said(lambda: server.delete(NAME)))


def test_another_job_of_the_same_name_is_not_ours(server: KubernetesServer) -> None:
    def replace() -> None:
        server.drop_watches()
        server.remove(NAME)
        server.create(manifest())

    with pytest.raises(kuberay.JobLost):
        kuberay.run(manifest(), Said(replace))


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_run_that_is_cancelled_deletes_its_job(server: KubernetesServer, signal: type[BaseException]) -> None:
    def cancel() -> None:
        raise signal

    with pytest.raises(signal):
        kuberay.run(manifest(), Said(cancel))
    assert server.jobs == {}


def test_a_second_run_follows_the_job_that_is_there(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuberay, "POLL_SECONDS", 25)  # between two watches the first run would miss how the job ended
    running = Event()
    first, second = Said(running.set), Said(lambda: server.update(NAME, **COMPLETE))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(kuberay.run, manifest(), first)
        assert running.wait(60)
        kuberay.run(manifest(), second)
        run.result(timeout=60)
    assert first == second == ["one"]
    assert [kind for _, kind, _ in server.events].count("ADDED") == 1
    assert server.jobs == {}


def test_a_failed_job_of_an_earlier_run_makes_room(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuberay, "sleep", lambda seconds: server.remove(NAME))
    server.on_create = lambda name: None
    server.create(manifest())
    server.update(NAME, **FAILED)
    server.on_create = lambda name: server.update(NAME, **COMPLETE)
    server.has_finalizer = True  # it goes only while the run waits for it
    kuberay.run(manifest(), print)
    assert [kind for _, kind, _ in server.events].count("ADDED") == 2


def test_an_earlier_job_that_does_not_go_is_named(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuberay, "PATIENCE_SECONDS", 0)
    server.has_finalizer = True
    server.create(manifest())
    server.delete(NAME)
    with pytest.raises(kuberay.JobLost, match="does not go"):
        kuberay.run(manifest(), print)


@pytest.mark.parametrize("status", [410, 500])
def test_a_watch_that_drops_is_resumed(server: KubernetesServer, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(kuberay, "sleep", lambda seconds: None)

    def drop() -> None:
        server.watch_errors.append(status)
        server.drop_watches()
        server.print_line(NAME, "two")

    def say(line: str) -> None:
        said(line)
        if line == "two":
            server.update(NAME, **COMPLETE)

    said = Said(drop)
    kuberay.run(manifest(), say)
    assert said == ["one", "two"]
    assert sum(request.endswith(" watch") for request in server.requests) > 1
    assert posts(server) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_that_errs_for_a_moment_is_survived(
    server: KubernetesServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(kuberay, "sleep", lambda seconds: None)
    server.errors = [status] * 3

    def err_again() -> None:
        server.errors = [status] * 3
        server.update(NAME, **COMPLETE)

    kuberay.run(manifest(), Said(err_again))
    assert server.jobs == {}


def test_an_api_server_that_is_down_for_a_moment_is_survived(
    server: KubernetesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def come_back(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            server.up()

    monkeypatch.setattr(kuberay, "sleep", come_back)

    def go_down() -> None:
        server.down()
        server.update(NAME, **COMPLETE)

    kuberay.run(manifest(), Said(go_down))
    assert len(pauses) == 3
    assert server.jobs == {}


def test_an_api_server_that_stays_down_is_not_waited_for_for_ever(
    server: KubernetesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kuberay, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(kuberay, "sleep", lambda seconds: None)
    with pytest.raises(kuberay.JobLost, match="out of reach"):
        kuberay.run(manifest(), Said(server.down))
    server.up()


def test_what_the_api_server_forbids_is_said(server: KubernetesServer) -> None:
    server.errors = [403]
    with pytest.raises(kuberay.JobRefused, match="Forbidden") as caught:
        kuberay.run(manifest(), print)
    assert "\n" not in str(caught.value)


def test_without_a_cluster_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(kuberay.JobRefused, match="no Kubernetes cluster"):
        kuberay.run(manifest(), print)


def test_a_job_can_be_deleted_from_beside_the_one_who_follows_it(server: KubernetesServer) -> None:
    with pytest.raises(kuberay.JobLost):
        kuberay.run(manifest(), Said(lambda: kuberay.delete(NAMESPACE, NAME)))
    assert server.jobs == {}
    kuberay.delete(NAMESPACE, NAME)
