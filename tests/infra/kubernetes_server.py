"""An API server on 127.0.0.1 that speaks Kubernetes for RayJobs and their submitter pods, and does what a test says.

In: requests of a real client, and calls that play KubeRay: `update`, `print_line`, `remove`. Out: `requests`, `jobs`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
NAMESPACE = "tests"
RAYJOBS = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    410: "Expired",
    500: "InternalError",
}
BEGAN = datetime.now(UTC) - timedelta(seconds=monotonic())


def now() -> datetime:
    """The time, by a clock that nobody sets."""
    return BEGAN + timedelta(seconds=monotonic())


class Answer(Exception):
    """A request that ends in a Status object."""

    def __init__(self, code: int, message: str = "as scripted") -> None:
        self.code = code
        self.body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
        self.body |= {"reason": REASONS.get(code, "Unknown"), "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: "KubernetesServer"

    def answer(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        self.cluster.requests.append(f"{self.command} {url.path}{' watch' if 'watch' in query else ''}")
        try:
            if self.cluster.errors:
                raise Answer(self.cluster.errors.pop(0))
            if query.get("watch", "").lower() == "true":
                self.stream(query)
            else:
                self.send(200, self.route(url.path, query, body))
        except Answer as answer:
            self.send(answer.code, answer.body)
        except ConnectionError:
            self.close_connection = True

    def route(self, path: str, query: dict[str, str], body: Json) -> Json | str:
        folder, _, name = path.rpartition("/")
        if self.command == "POST" and path == RAYJOBS:
            return self.cluster.create(body)
        if self.command == "GET" and path == PODS:
            return self.cluster.pods_of(query)
        if self.command == "GET" and name == "log":
            return self.cluster.log(folder.removeprefix(f"{PODS}/"), query)
        if folder == RAYJOBS:
            return self.cluster.delete(name) if self.command == "DELETE" else self.cluster.get(name)
        raise Answer(404, "the server could not find the requested resource")

    def send(self, code: int, body: Json | str) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def stream(self, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in self.cluster.watch(query):
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


class KubernetesServer:
    """What the cluster knows; every change is an event with a version of its own."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.jobs: dict[str, Json] = {}
        self.logs: dict[str, list[tuple[datetime, str]]] = {}
        self.pods: dict[str, Json] = {}
        self.events: list[tuple[int, str, Json]] = []
        self.requests: list[str] = []
        self.on_create: Callable[[str], None] = lambda name: None
        self.errors: list[int] = []  # statuses of the next answers, whatever is asked
        self.watch_errors: list[int] = []  # statuses of the next watches
        self.has_finalizer = False
        self.knows_tokens = True
        self.version = 100
        self.drops = 0
        self.port = 0

    def update(self, name: str, **status: str) -> None:
        with self.changed:
            self.jobs[name]["status"] = self.jobs[name].get("status", {}) | status
            self._tell("MODIFIED", self.jobs[name])

    def remove(self, name: str) -> None:
        with self.changed:
            self._tell("DELETED", self.jobs.pop(name))

    def print_line(self, name: str, line: str, pod: str = "submitter-a") -> None:
        with self.changed:
            stamp = now() + timedelta(microseconds=len(self.logs.get(pod, [])))
            if pod not in self.pods:
                metadata = {
                    "name": pod,
                    "labels": {"job-name": name},
                    "creationTimestamp": f"{stamp:%Y-%m-%dT%H:%M:%SZ}",
                }
                self.pods[pod] = {"metadata": metadata, "spec": {"containers": [{"name": "ray-job-submitter"}]}}
            self.logs.setdefault(pod, []).append((stamp, line))

    def drop_watches(self) -> None:
        with self.changed:
            self.drops += 1
            self.changed.notify_all()

    def up(self) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), type("Connected", (Handler,), {"cluster": self}))
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def down(self) -> None:
        """Nothing listens any more, and what was connected is cut off."""
        self.http.shutdown()
        self.http.socket.close()
        self.drop_watches()

    def create(self, job: Json) -> Json:
        with self.changed:
            name = job["metadata"]["name"]
            if name in self.jobs:
                raise Answer(409, f'rayjobs.ray.io "{name}" already exists')
            self.jobs[name] = job
            if not self.knows_tokens:  # fields that are not in the definition of a resource are left out
                del job["spec"]["rayClusterSpec"]["authOptions"]
            job["metadata"]["uid"] = f"uid-{self.version}"
            self._tell("ADDED", job)
        self.on_create(name)
        return job

    def get(self, name: str) -> Json:
        with self.changed:
            if name not in self.jobs:
                raise Answer(404, f'rayjobs.ray.io "{name}" not found')
            return self.jobs[name]

    def delete(self, name: str) -> Json:
        job = self.get(name)
        if self.has_finalizer:
            with self.changed:
                job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                self._tell("MODIFIED", job)
        else:
            self.remove(name)
        return job

    def watch(self, query: dict[str, str]) -> Iterator[Json]:
        """The events after a version until the client's time is over; a dropped watch ends in ConnectionError."""
        if self.watch_errors:
            yield {"type": "ERROR", "object": Answer(self.watch_errors.pop(0)).body}
            return
        version, drops = int(query["resourceVersion"]), self.drops
        end = now() + timedelta(seconds=int(query["timeoutSeconds"]))
        while (left := (end - now()).total_seconds()) > 0:
            with self.changed:
                self.changed.wait_for(lambda: self.drops > drops or self.version > version, left)  # noqa: B023
                if self.drops > drops:
                    raise ConnectionError
                new = [event for event in self.events if event[0] > version]
                version = self.version
            for _, kind, job in new:
                if query["fieldSelector"] == f"metadata.name={job['metadata']['name']}":
                    yield {"type": kind, "object": job}

    def pods_of(self, query: dict[str, str]) -> Json:
        label, _, value = query["labelSelector"].partition("=")
        items = [pod for pod in self.pods.values() if pod["metadata"]["labels"].get(label) == value]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}

    def log(self, pod: str, query: dict[str, str]) -> str:
        names = [container["name"] for container in self.pods[pod]["spec"]["containers"]]
        if query["container"] not in names:
            raise Answer(400, f"container {query['container']} is not valid for pod {pod}")
        since = now() - timedelta(seconds=int(query.get("sinceSeconds", 10**6)))
        with self.changed:
            lines = [(stamp, line) for stamp, line in self.logs[pod] if stamp >= since]
        return "".join(f"{stamp:%Y-%m-%dT%H:%M:%S.%f}000Z {line}\n" for stamp, line in lines)

    def _tell(self, kind: str, job: Json) -> None:
        self.version += 1
        job["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, json.loads(json.dumps(job))))
        self.changed.notify_all()


@contextmanager
def kubernetes_server(kubeconfig: Path) -> Iterator[KubernetesServer]:
    """A server, and a kubeconfig file that leads to it."""
    server = KubernetesServer()
    server.up()
    cluster = {"name": "tests", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}
    context = {"name": "tests", "context": {"cluster": "tests", "user": "tests"}}
    settings = {"clusters": [cluster], "contexts": [context], "users": [{"name": "tests", "user": {}}]}
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "tests"} | settings))
    try:
        yield server
    finally:
        server.down()
