"""What tests share: one Ray cluster, one Prefect server, one scripted release."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.pipeline import pipeline
from infra import ray_cluster
from tasks.release import Release
from tasks.store import Cluster
from tasks.tables import Stage

ROOT = Path(__file__).parent.parent
CPUS = 2

CONFIG = """
name = "tested"
storage = "{storage}"

[prompts]
source = "{prompts}"
test_share = 0.2

[diversity]
embedder = {{ kind = "scripted" }}

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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ray_cluster.ray_cluster():
        connect = partial(ray_cluster.connect, CPUS)
        connect()
        yield connect


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
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, prefect_server: None
) -> tuple[Path, Release, list[Stage]]:
    """One finished run of the whole flow: its folder, its release, its stages. Tests read it and change nothing."""
    folder = tmp_path_factory.mktemp("scripted")
    release, stages = pipeline(str(write_config(folder)))
    return folder, release, stages
