"""Run one piece of work as a KubeRay RayJob, and always delete it.

In: a manifest, which `rayjob` renders as plain data. Out: the lines that the job printed; its results stand where the
work itself put them. A name is an identity: who runs a name that is there already follows that job and starts no other.

    RayJobError
    ├── JobRefused   no cluster is configured, or its API server says no
    ├── JobFailed    the job ended and did not succeed
    └── JobLost      somebody deleted the job, or the API server stays out of reach
"""

import os
import re
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic, sleep
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

RAY_VERSION = "2.60.0"
HEAD_CPUS = "2"
SUBMITTER = "ray-job-submitter"  # the container that KubeRay gives the submitter pod
NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")
KEPT_SECONDS = 300  # how long the pods of an ended job outlive a watcher that died
POLL_SECONDS = 5
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 300
LAST_LINES = 20
TIMEOUT = (5, POLL_SECONDS + 25)
CONFLICT, NOT_FOUND, NOT_STARTED = 409, 404, 400
PASSING = {408, 410, 429, 500, 502, 503, 504}

Json = dict[str, Any]


class RayJobError(RuntimeError):
    """The work was not done on the cluster."""


class JobRefused(RayJobError):
    """No cluster is configured, or its API server says no."""


class JobFailed(RayJobError):
    """The job ended and did not succeed."""


class JobLost(RayJobError):
    """Somebody deleted the job, or the API server stays out of reach."""


def rayjob(
    name: str,
    *,
    namespace: str,
    image: str,
    entrypoint: list[str],
    workers: int,
    cpus: int,
    gpus: int,
    memory: str,
    secret: str | None,
) -> Json:
    """The manifest: `workers` pods of `cpus`, `gpus` and `memory`, and a head of the same memory, where `entrypoint` runs.

    The keys of the Kubernetes secret `secret` are environment variables in every pod.

    Raises:
        ValueError: KubeRay would ignore a job of this name.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"a RayJob's name is at most 47 of a-z, 0-9 and -, and begins with a letter, unlike {name!r}")
    size = {"cpu": str(cpus), "memory": memory} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    head = pod_of("ray-head", image, {"cpu": HEAD_CPUS, "memory": memory}, secret)
    group = {"groupName": "workers", "replicas": workers, "minReplicas": workers, "maxReplicas": workers}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "safepairs"}},
        "spec": {
            "entrypoint": shlex.join(entrypoint),
            "submissionMode": "K8sJobMode",
            "backoffLimit": 0,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "rayClusterSpec": {
                "rayVersion": RAY_VERSION,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": head},
                "workerGroupSpecs": [group | {"template": pod_of("ray-worker", image, size, secret)}],
            },
        },
    }


def pod_of(container: str, image: str, size: dict[str, str], secret: str | None) -> Json:
    """A template of one container, which asks for `size` and gets no more."""
    spec: Json = {"name": container, "image": image, "resources": {"requests": dict(size), "limits": dict(size)}}
    if secret:
        spec["envFrom"] = [{"secretRef": {"name": secret}}]
    return {"spec": {"containers": [spec]}}


def run(manifest: Json, say: Callable[[str], None]) -> None:
    """Run the job to its end, or follow it where it runs already; `say` gets each line, and the job is deleted.

    Needs to create, get, list, watch and delete RayJobs, to list pods and to get their logs.

    Raises:
        JobRefused: no cluster is configured, its API server says no, or its KubeRay starts Ray without tokens.
        JobFailed: the job ended and did not succeed; carries its message and its last lines.
        JobLost: somebody deleted the job, or the API server stays out of reach.
    """
    api, name, namespace = connect(), manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    jobs = client.CustomObjectsApi(api)
    job = address(namespace, name)
    try:
        try:
            create(jobs, job, manifest)
            check_token(jobs, job)
            follow(states(jobs, job), new_lines(client.CoreV1Api(api), namespace, name), say)
        finally:
            insist(partial(jobs.delete_namespaced_custom_object, **job), otherwise=NOT_FOUND)
    except ApiException as error:
        raise JobRefused(f"the Kubernetes API server refuses RayJob {namespace}/{name}: {one_line(error)}") from error


def delete(namespace: str, name: str) -> None:
    """Delete the job of this name, if it is there; who follows it hears that it is lost."""
    jobs = client.CustomObjectsApi(connect())
    insist(partial(jobs.delete_namespaced_custom_object, **address(namespace, name)), otherwise=NOT_FOUND)


def address(namespace: str, name: str) -> Json:
    """Where the API server keeps a job."""
    return {"group": "ray.io", "version": "v1", "plural": "rayjobs", "namespace": namespace, "name": name}


def connect() -> client.ApiClient:
    """A client of the cluster that this process runs in, else of the one that the kubeconfig file names.

    Raises:
        JobRefused: neither is there.
    """
    settings = client.Configuration()
    try:
        try:
            config.load_incluster_config(settings)
        except ConfigException:
            config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=settings)
    except ConfigException as error:
        raise JobRefused(f"no Kubernetes cluster is configured: {error}") from error
    settings.retries = False  # `insist` knows what to call again, and when
    return client.ApiClient(settings)


def create(jobs: client.CustomObjectsApi, job: Json, manifest: Json) -> None:
    """Create the job, unless it is there and may still succeed; one that cannot is deleted first.

    Raises:
        JobLost: a job of this name is being deleted and does not go.
    """
    deadline = monotonic() + PATIENCE_SECONDS
    place = {key: job[key] for key in job if key != "name"}
    while not insist(partial(jobs.create_namespaced_custom_object, **place, body=manifest), otherwise=CONFLICT):
        there = insist(partial(jobs.get_namespaced_custom_object, **job), otherwise=NOT_FOUND)
        if there and not is_leaving(there):
            if has_succeeded(there) is not False:
                return
            insist(partial(jobs.delete_namespaced_custom_object, **job), otherwise=NOT_FOUND)
        if monotonic() > deadline:
            raise JobLost(f"an earlier RayJob {job['name']} is being deleted and does not go")
        sleep(PAUSE_SECONDS)


def check_token(jobs: client.CustomObjectsApi, job: Json) -> None:
    """Raise JobRefused where the API server left out of the job that its Ray asks for a token, which it does not know then."""
    there = insist(partial(jobs.get_namespaced_custom_object, **job), otherwise=NOT_FOUND)
    if there and there["spec"]["rayClusterSpec"].get("authOptions", {}).get("mode") != "token":
        raise JobRefused(
            "this KubeRay starts Ray without token authentication, so that all who reach it could run code there: install "
            "KubeRay 1.5.1 or later, with its resource definitions, and run again"
        )


def follow(changes: Iterator[Json], lines: Iterator[list[str]], say: Callable[[str], None]) -> None:
    """Pass on what the job prints until it has ended.

    Raises:
        JobFailed: it did not succeed.
        JobLost: it is being deleted.
    """
    tail: deque[str] = deque(maxlen=LAST_LINES)
    for job in changes:
        for line in next(lines):
            tail.append(line)
            say(line)
        succeeded, name, status = has_succeeded(job), job["metadata"]["name"], job.get("status", {})
        if succeeded:
            return
        if succeeded is False:
            why = ": ".join(status[key] for key in ("jobStatus", "reason", "message") if status.get(key))
            raise JobFailed("\n".join([f"RayJob {name} did not succeed: {why or 'no reason given'}", *tail]))
        if is_leaving(job):
            raise JobLost(f"RayJob {name} was deleted by somebody else")


def has_succeeded(job: Json) -> bool | None:
    """None while the job has not ended; it ends after its submitter, which has printed all by then."""
    status = job.get("status", {})
    if status.get("jobDeploymentStatus") not in ("Complete", "Failed", "ValidationFailed"):
        return None
    return bool(status["jobDeploymentStatus"] == "Complete" and status.get("jobStatus") == "SUCCEEDED")


def is_leaving(job: Json) -> bool:
    """Whether the job has been deleted and only waits for KubeRay to clean up."""
    return "deletionTimestamp" in job["metadata"]


def states(jobs: client.CustomObjectsApi, job: Json) -> Iterator[Json]:
    """The job as it stands, at each change and every POLL_SECONDS; a watch that ends, however it ends, starts anew.

    Raises:
        JobLost: the job is gone, or another one has its name.
    """
    uid = None
    while True:
        now = insist(partial(jobs.get_namespaced_custom_object, **job), otherwise=NOT_FOUND)
        if now is None or uid not in (None, now["metadata"]["uid"]):
            raise JobLost(f"RayJob {job['name']} was deleted by somebody else")
        uid = now["metadata"]["uid"]
        yield now
        yield from watched(jobs, job, now["metadata"]["resourceVersion"])


def watched(jobs: client.CustomObjectsApi, job: Json, version: str) -> Iterator[Json]:
    """The job at each change after `version`, for POLL_SECONDS or until the connection drops."""
    place = {key: job[key] for key in job if key != "name"}
    of_job = f"metadata.name={job['name']}"
    options: Json = {"field_selector": of_job, "resource_version": version, "timeout_seconds": POLL_SECONDS}
    try:
        for event in watch.Watch().stream(
            jobs.list_namespaced_custom_object, **place, **options, _request_timeout=TIMEOUT
        ):
            yield event["raw_object"]
            if event["type"] == "DELETED":
                return
    except (ApiException, HTTPError) as error:
        if status_of(error) not in PASSING:
            raise
        sleep(PAUSE_SECONDS)


def new_lines(core: client.CoreV1Api, namespace: str, name: str) -> Iterator[list[str]]:
    """At each step, what the job's submitter pods have printed since the step before."""
    heard: dict[str, tuple[str, float]] = {}  # by pod: the stamp of its last line, and when that was asked for
    while True:
        fresh: list[str] = []
        pods = insist(partial(core.list_namespaced_pod, namespace, label_selector=f"job-name={name}"))
        for pod in sorted(pods.items, key=lambda pod: pod.metadata.creation_timestamp):
            asked, (last, before) = monotonic(), heard.get(pod.metadata.name, ("", None))
            since = {} if before is None else {"since_seconds": int(asked - before) + sum(TIMEOUT)}
            lines = [line.partition(" ") for line in log(core, namespace, pod.metadata.name, since).split("\n")]
            new = [(stamp, text) for stamp, _, text in lines if stamp > last]
            if new:
                heard[pod.metadata.name] = (new[-1][0], asked)
                fresh += [text for _, text in new]
        yield fresh


def log(core: client.CoreV1Api, namespace: str, pod: str, since: Json) -> str:
    """The pod's log, a stamp before each line; empty while its container has not started or its node cannot be reached."""
    options: Json = {"container": SUBMITTER, "timestamps": True, "_request_timeout": TIMEOUT} | since
    try:
        return str(core.read_namespaced_pod_log(pod, namespace, **options))
    except (ApiException, HTTPError) as error:
        if status_of(error) in PASSING | {NOT_STARTED, NOT_FOUND}:
            return ""
        raise


def insist(call: Callable[..., Any], otherwise: int | None = None) -> Any:  # noqa: ANN401 (what the API answers)
    """Call again, after longer and longer pauses, while the API server is out of reach; None if it answers `otherwise`.

    Raises:
        JobLost: it stays out of reach.
    """
    pause, deadline = PAUSE_SECONDS, monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call(_request_timeout=TIMEOUT)
        except (ApiException, HTTPError) as error:
            if status_of(error) == otherwise:
                return None
            if status_of(error) not in PASSING:
                raise
            if monotonic() > deadline:
                raise JobLost(f"the Kubernetes API server stays out of reach: {one_line(error)}") from error
        sleep(pause)
        pause = min(2 * pause, 30)


def status_of(error: ApiException | HTTPError) -> int:
    """The HTTP status; an answer that never came counts as 503."""
    return int(getattr(error, "status", 503))


def one_line(error: Exception) -> str:
    """What the error says, without the lines that the client breaks it into."""
    return " ".join(str(error).split())
