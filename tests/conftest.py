"""What tests share: one Ray cluster, one Prefect server, one scripted release."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import s3fs
from hypothesis import HealthCheck, settings
from prefect.testing.utilities import prefect_test_harness

from flows.pipeline import pipeline
from infra import ray_cluster
from tasks.release.release import Release
from tasks.tables import Stage
from tasks.work.job import RunJob
from tests import s3_server
from tests.ports import choose_ports

settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("searching", settings.get_profile("steady"), derandomize=False, max_examples=1_000)
settings.load_profile("steady")
MACHINERY = {"cluster", "prefect_server", "bucket"}
"""Fixtures that start what other processes do."""
ROOT = Path(__file__).parent.parent
CPUS = 2
KEY_VARIABLE = "SAFEPAIRS_TEST_KEY"
# Before any cluster starts: engines read their key from the environment of the cluster.
os.environ[KEY_VARIABLE] = "a-key-of-tests"
S3_PORTS = choose_ports(len(s3_server.PORTS))
os.environ.update(s3_server.environment(S3_PORTS[0]))
# A shell has what it starts in the background ignore Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

CONFIG = """
name = "tested"
storage = "{storage}"

[prompts]
source = "{prompts}"
test_share = 0.2

[diversity]
embedder = {{ kind = "word-counts" }}

[[responders]]
name = "scripted-a"
engine = {{ kind = "scripted", block_rows = 8, journal = "{journal}", seconds_per_row = {seconds_per_row} }}
samples = 2

[[responders]]
name = "scripted-b"
engine = {{ kind = "scripted", block_rows = 8, journal = "{journal}" }}
system = "Answer in a friendly voice."
samples = 2

[[judges]]
name = "judge"
engine = {{ kind = "scripted", block_rows = 64, journal = "{journal}", garbage_every = {garbage_every} }}
label_votes = 3
"""

WriteConfig = Callable[..., Path]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs machinery: a lane of its own has it."""
    for item in items:
        if MACHINERY & set(getattr(item, "fixturenames", ())):
            item.add_marker("machinery")


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunJob]:
    """Runs jobs on a cluster that all tests share."""
    with ray_cluster.ray_cluster():
        ray_cluster.connect(CPUS)
        yield lambda job, tell: job.run(tell)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket on a real S3 server."""
    with s3_server.s3_server(tmp_path_factory.mktemp("s3"), S3_PORTS):
        s3fs.S3FileSystem().mkdir("safepairs")
        yield "s3://safepairs"


@pytest.fixture(params=["disk", pytest.param("bucket", marks=pytest.mark.machinery)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty storage: a folder, then a prefix in a bucket."""
    if request.param == "disk":
        return str(tmp_path / "storage")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def write_config(folder: Path, prompts: Sequence[str] | None = None, **values: object) -> Path:
    """A scripted configuration in `folder`; every request that reaches an engine is a line of `<folder>/journal`."""
    source = folder / "prompts.jsonl"
    texts = [f"How do I plant {number} tulips?" for number in range(12)] if prompts is None else prompts
    source.write_text("".join(json.dumps({"prompt": text, "prompt_source": "tests"}) + "\n" for text in texts))
    settings = {
        "storage": folder / "storage",
        "prompts": source,
        "journal": folder / "journal",
        "seconds_per_row": 0,
        "garbage_every": 0,
    }
    config = folder / "config.toml"
    config.write_text(CONFIG.format(**settings | values))
    return config


def asked(folder: Path) -> list[str]:
    """The requests that reached an engine of the configuration in `folder`, in order."""
    journal = folder / "journal"
    return journal.read_text().splitlines() if journal.exists() else []


@pytest.fixture(scope="session")
def scripted_run(
    tmp_path_factory: pytest.TempPathFactory, cluster: RunJob, prefect_server: None
) -> tuple[Path, Release, list[Stage]]:
    """One finished run of the whole flow: its folder, its release, its stages. Tests read it and change nothing."""
    folder = tmp_path_factory.mktemp("scripted")
    release, stages = pipeline(str(write_config(folder)))
    return folder, release, stages
