"""What a run stands on, started on this machine so that it can be broken: Ray nodes, a Prefect server, an S3 server.

All of it listens on 127.0.0.1 alone, and is ended by what was started: a process and those below it.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import s3fs
from ray.job_submission import JobDetails, JobSubmissionClient

from tests import s3_server
from tests.ports import choose_ports
from tests.waiting import until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKERS = 2
ENGINE = "ray::MapWorker"
BUCKET = "drill"


def answers(url: str) -> bool:
    """Whether a server answers at `url`, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 (a server that the drill started)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def spawn(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, in the repository, with its output in `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output, start_new_session=True
        )


def of_session(session: int) -> list[psutil.Process]:
    """The processes that share a session."""
    return [one for one in psutil.process_iter() if session_of(one.pid) == session]


def session_of(pid: int) -> int:
    """The session of a process; 0 where it has ended."""
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return 0


def kill(pid: int) -> None:
    """`kill -9` of a process and of all below it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=20)


@dataclass
class Ray:
    """A cluster of a head and two workers, each of them a `ray start --block` and what it started."""

    folder: Path
    environment: Mapping[str, str]
    gcs: int
    dashboard: int
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the Jobs API."""
        return f"http://127.0.0.1:{self.dashboard}"

    def start(self) -> None:
        """Start what does not run, and wait until all nodes are there."""
        if not self.nodes:
            head = ["--head", f"--port={self.gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard}"]
            # The sockets' paths, below this folder, may have 107 letters.
            self.nodes = [self.start_node(*head, "--num-cpus=2", f"--temp-dir={self.folder}")]
            until(lambda: answers(f"{self.address}/api/version"), 120, "the Ray dashboard answers")
        self.nodes = [self.nodes[0], *(node for node in self.nodes[1:] if node.poll() is None)]
        while len(self.nodes) < 1 + WORKERS:
            # One after the other: two that start at once on one machine choose the same sockets.
            self.nodes.append(self.start_node(f"--address=127.0.0.1:{self.gcs}", "--num-cpus=1"))
            until(lambda: self.alive() == len(self.nodes), 120, "a Ray node is alive")
        until(self.takes_jobs, 120, "the Ray cluster takes jobs")

    def start_node(self, *options: str) -> subprocess.Popen[bytes]:
        """One node."""
        fixed = ["--block", "--node-ip-address=127.0.0.1", "--object-store-memory=150000000", "--disable-usage-stats"]
        fixed += [f"--dashboard-agent-listen-port={choose_ports(1)[0]}"]
        return spawn([str(BIN / "ray"), "start", *fixed, *options], self.environment, self.folder / "nodes.log")

    def alive(self) -> int:
        """How many nodes have a raylet that the head knows."""
        request = urllib.request.Request(f"{self.address}/api/v0/nodes", headers=self.token())  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (a server that the drill started)
            return sum(node["state"] == "ALIVE" for node in json.load(answer)["data"]["result"]["result"])

    def engines(self) -> dict[int, list[psutil.Process]]:
        """The processes of engine actors on each node."""
        return {place: below(node.pid, ENGINE) for place, node in enumerate(self.nodes)}

    def jobs(self) -> list[JobDetails]:
        """All jobs that were ever submitted."""
        found: list[JobDetails] = self.client().list_jobs()
        return found

    def client(self) -> JobSubmissionClient:
        """A client of the Jobs API."""
        return JobSubmissionClient(self.address, headers=self.token())

    def token(self) -> dict[str, str]:
        """What the cluster wants to see of its own."""
        return {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}

    def takes_jobs(self) -> bool:
        """Whether a job can be submitted, which is some time after the dashboard answers."""
        try:
            self.client().submit_job(entrypoint="true")
        except RuntimeError:
            return False
        return True

    def at_work(self) -> list[str]:
        """The jobs that have not ended."""
        return [str(job.submission_id) for job in self.jobs() if job.submission_id and not job.status.is_terminal()]

    def stop(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self.nodes):
            kill(node.pid)


def below(pid: int, title: str) -> list[psutil.Process]:
    """The processes below `pid` whose title begins so."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if " ".join(process.cmdline()).startswith(title):
                    found.append(process)
    return found


@dataclass
class Prefect:
    """A Prefect server with a database of its own."""

    folder: Path
    environment: Mapping[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """What PREFECT_API_URL is set to."""
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {name: value for name, value in self.environment.items() if name != "PREFECT_API_URL"}
        self.process = spawn(command, environment, self.folder / "prefect.log")
        until(lambda: answers(f"{self.api}/health"), 120, "the Prefect server answers")

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self.process:
            kill(self.process.pid)


@dataclass
class S3:
    """A SeaweedFS with one bucket."""

    folder: Path
    environment: Mapping[str, str]
    ports: list[int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL is set to."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Start the server on what it stored before, and wait until it takes a file."""
        if self.process and self.process.poll() is None:
            return
        command = s3_server.command(self.folder / "s3", self.ports)
        self.process = spawn(command, self.environment, self.folder / "s3.log")
        until(self.takes_a_file, 60, "the S3 server takes a file")

    def takes_a_file(self) -> bool:
        """Whether a write succeeds: the server answers before its volumes are there."""
        files = self.files()
        try:
            if not files.exists(BUCKET):
                files.mkdir(BUCKET)
            files.pipe_file(f"{BUCKET}/probe", b"probe")
        except Exception:  # noqa: BLE001 (s3fs passes on whatever lies below it)
            return False
        return True

    def files(self) -> s3fs.S3FileSystem:
        """A client that remembers nothing."""
        return s3fs.S3FileSystem(
            key=s3_server.ACCESS_KEY,
            secret=s3_server.SECRET_KEY,
            endpoint_url=self.endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self.process:
            kill(self.process.pid)


@dataclass
class Machines:
    """All of them, with what programs on them find in their environment."""

    folder: Path
    environment: dict[str, str]
    ray: Ray
    prefect: Prefect
    s3: S3

    @classmethod
    def at(cls, folder: Path) -> "Machines":
        """Not started yet; all that they write is below `folder`."""
        gcs, dashboard, prefect_port, *s3_ports = choose_ports(9)
        environment = os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_BACKEND_LOG_LEVEL": "fatal",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "GX_ANALYTICS_ENABLED": "false",
            **s3_server.environment(s3_ports[0]),
            "COLUMNS": "200",
        }
        ray = Ray(folder, environment, gcs, dashboard)
        prefect = Prefect(folder, environment, prefect_port)
        environment["PREFECT_API_URL"] = prefect.api
        return cls(folder, environment, ray, prefect, S3(folder, environment, s3_ports))

    def start(self) -> None:
        """Start what all faults need; an S3 server is started by those that need one."""
        self.prefect.start()
        self.ray.start()

    def stop(self, *, keep: bool = False) -> None:
        """End everything, and forget it unless it is to be kept."""
        for machine in (self.ray, self.prefect, self.s3):
            machine.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
