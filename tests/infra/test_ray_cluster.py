import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from infra import ray_cluster
from tests.conftest import ROOT
from tests.waiting import until

TOO_SLOW = "The current node timed out during startup.\nThis could happen because some of the raylet failed to startup."


def steps(monkeypatch: pytest.MonkeyPatch, begin: Callable[[int], None]) -> list[str]:
    """What a start does, with `begin` for what Ray does to start a cluster, and without an end of the tests' own."""
    done: list[str] = []

    def begin_or_fail(cpus: int) -> None:
        done.append(f"begin with {cpus}")
        begin(len(done))

    monkeypatch.setattr(ray_cluster, "begin", begin_or_fail)
    monkeypatch.setattr("ray.shutdown", lambda: done.append("clean up"))
    return done


def test_a_cluster_that_starts_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = steps(monkeypatch, lambda step: None)
    ray_cluster.start(3)
    assert done == ["begin with 3"]


@pytest.mark.parametrize("error", [Exception(TOO_SLOW), RuntimeError(TOO_SLOW), ConnectionError(TOO_SLOW)])
def test_a_start_that_fails_is_cleaned_up_and_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail_first(step: int) -> None:
        if step == 1:
            raise error

    done = steps(monkeypatch, fail_first)
    ray_cluster.start(3)
    assert done == ["begin with 3", "clean up", "begin with 3"]


def test_a_start_that_fails_again_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(step: int) -> None:
        raise RuntimeError(f"{step}. step")

    done = steps(monkeypatch, fail)
    with pytest.raises(RuntimeError, match=r"3\. step"):
        ray_cluster.start(3)
    assert done == ["begin with 3", "clean up", "begin with 3"]


def test_a_start_that_somebody_cancels_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel(step: int) -> None:
        raise KeyboardInterrupt

    done = steps(monkeypatch, cancel)
    with pytest.raises(KeyboardInterrupt):
        ray_cluster.start(3)
    assert done == ["begin with 3"]


STARTS = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(1000)\n"


@pytest.fixture
def cluster_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process were connected to no cluster, whatever other tests have started."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(ray_cluster, "ENDED", threading.Event())
    monkeypatch.setattr(ray_cluster, "CONNECTING", threading.Lock())
    monkeypatch.setattr(ray_cluster, "UP", ExitStack())


def test_a_cluster_that_a_thread_is_about_to_start_ends_with_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster_of_its_own: None
) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    (folder / "server.py").write_text(STARTS)
    servers: list[subprocess.Popen[bytes]] = []

    def begin(cpus: int) -> None:
        servers.append(subprocess.Popen([sys.executable, str(folder / "server.py"), str(tmp_path / "started")]))
        servers[-1].wait()
        raise RuntimeError("the server is gone")

    def connect() -> None:
        try:
            ray_cluster.connect(1)
        except ray_cluster.RunEnded as error:
            ends.append(error)

    ends: list[Exception] = []
    # Of what other tests have started nothing may be ended.
    monkeypatch.setattr(ray_cluster, "is_of_ray", lambda process: str(folder) in " ".join(process.cmdline()))
    monkeypatch.setattr(ray_cluster, "begin", begin)
    thread = threading.Thread(target=connect)

    def start_and_stop() -> None:
        thread.start()
        until((tmp_path / "started").exists, what="a server is started")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ray_cluster.ray_cluster():
        start_and_stop()
    assert [psutil.pid_exists(server.pid) for server in servers] == [False]
    thread.join()
    assert len(ends) == 1


def test_a_thread_that_comes_late_for_a_cluster_gets_none_until_the_next_body(
    monkeypatch: pytest.MonkeyPatch, cluster_of_its_own: None
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(ray_cluster, "is_of_ray", lambda process: False)
    monkeypatch.setattr(ray_cluster, "begin", begun.append)
    with ray_cluster.ray_cluster():
        ray_cluster.connect(1)
    with pytest.raises(ray_cluster.RunEnded):
        ray_cluster.connect(2)
    with ray_cluster.ray_cluster():
        ray_cluster.connect(3)
    assert begun == [1, 3]


def test_ray_starts_no_cluster_by_itself() -> None:
    alone = "import ray, infra.ray_cluster\ntry: ray.put(1)\nexcept Exception: print(ray.is_initialized())"
    said = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


LOOK = """
import json, os, stat, sys
from pathlib import Path
import grpc, psutil, ray
from infra import leftovers, ray_cluster

def nodes(token):
    with grpc.insecure_channel(ray.get_runtime_context().gcs_address) as channel:
        call = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        try:
            call(b"", metadata=[("authorization", f"Bearer {token}")] if token else [], timeout=30)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

with ray_cluster.ray_cluster():
    ray_cluster.connect(1)
    of_ray = [psutil.Process(), *psutil.Process().children(recursive=True)]
    (folder,) = leftovers.temporary().glob(f"{leftovers.PREFIX}{leftovers.myself()}-*")
    token = os.environ["RAY_AUTH_TOKEN"]
    written = [path for path in Path(folder).rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    seen = {
        "listening": [c.laddr.ip for p in of_ray for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN],
        "nodes": [nodes(token), nodes(""), nodes("0" * 64)],
        "answer": ray.get(ray.remote(lambda: 1).remote()),
        "mode": stat.S_IMODE(folder.stat().st_mode),
        "written": list(map(str, written)),
    }
print(json.dumps(seen | {
    "folder": folder.exists(),
    "left": [p.pid for p in of_ray[1:] if p.is_running() and p.status() != "zombie"],
    "environment": {name: os.environ.get(name) for name in ray_cluster.AUTHENTICATION},
}))
"""


@pytest.mark.machinery
def test_a_cluster_of_a_run_is_there_for_nobody_else_and_leaves_nothing(tmp_path: Path) -> None:
    given = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "of-another-cluster", "RAY_AUTH_TOKEN_PATH": None}
    variables = {name: value for name, value in given.items() if value}
    looked = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stderr
    seen = json.loads(looked.stdout.splitlines()[-1])
    assert {address.removeprefix("::ffff:") for address in seen["listening"]} == {"127.0.0.1"}
    assert seen["nodes"] == ["OK", "UNAUTHENTICATED", "UNAUTHENTICATED"]
    assert seen["answer"] == 1
    assert seen["mode"] == 0o700
    assert not seen["written"]
    assert not list(tmp_path.rglob("auth_token"))
    assert not seen["folder"]
    assert not seen["left"]
    assert seen["environment"] == given
