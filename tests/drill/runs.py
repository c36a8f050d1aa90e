"""One run of the pipeline with a storage of its own, what it asked, what it kept, and what it published.

Measures come from three places: the journal, where every request that reaches an engine is a line; the store's blocks,
at the moment of a fault; and the published release, next to that of a run that nobody disturbed.
"""

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from tests.drill.machines import ROOT, Machines, kill
from tests.waiting import Late, until

PROMPTS = 40
REQUESTS = 3 * PROMPTS  # of the responder: an answer and two samples more
BLOCK_ROWS = 8
REPLICAS = 3
MILLISECONDS = 250
KEYS = {
    "prompts": ["prompt"],
    "qa": ["prompt", "response"],
    "dual": ["prompt", "response_0", "response_1"],
    "single": ["prompt", "response_0", "response_1"],
    "annotations/prompts.parquet": ["prompt_id"],
    "annotations/responses.parquet": ["response_id", "responder"],
    "annotations/verdicts.parquet": ["verdict_id"],
    "annotations/labels.parquet": ["response_id"],
    "annotations/preferences.parquet": ["pair_id"],
    "annotations/agreement.parquet": ["question", "between", "measure"],
    "annotations/stages.parquet": ["stage"],
    "dropped.parquet": ["table_name", "id", "stage", "reason"],
}
"""What must be distinct in each published table."""
TOOK = {
    "asked",
    "found",
    "input_tokens",
    "output_tokens",
    "estimated_input_tokens",
    "estimated_output_tokens",
    "gpu_seconds",
    "queue_seconds",
    "start_seconds",
    "work_seconds",
    "seconds",
}
"""Columns of `stages` (and of answers, where they come from the answer) that say what a run took."""

CONFIG = """
name = "drill"
storage = "{storage}"
cluster = {cluster}

[prompts]
source = "{prompts}"
test_share = 0.2

[diversity]
embedder = {{ kind = "word-counts" }}

[[responders]]
name = "scripted"
engine = {{ kind = "scripted", replicas = {replicas}, block_rows = {block_rows}, journal = "{journal}", seconds_per_row = {seconds} }}
samples = 2

[[judges]]
name = "judge"
engine = {{ kind = "scripted", block_rows = 32, journal = "{journal}", garbage_every = {garbage_every} }}
attempts = 1
"""


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code and the one line that it said of a fault, if it did."""

    code: int
    line: str
    traceback: bool


@dataclass
class Driver:
    """A flow process."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float = 240) -> Ended:
        """Wait for its end; raises Late where it does not come, and makes it."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(self.process.pid)
            raise Late(f"the run did not end in {seconds:.0f} s") from None
        text = self.log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line.startswith("error: ")]
        return Ended(self.process.wait(), lines[-1].removeprefix("error: ") if lines else "", "Traceback" in text)


@dataclass
class Snapshot:
    """What was answered for good, and how much was asked, at one moment."""

    kept: set[str]
    asked: int


@dataclass
class Run:
    """A configuration with its storage and journal, in a folder of its own."""

    machines: Machines
    folder: Path
    storage: str = ""
    local: bool = False
    milliseconds: int = MILLISECONDS
    garbage_every: int = 0
    drivers: int = 0
    given: set[str] = field(default_factory=set)
    read: dict[str, list[str]] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the prompts and the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.storage = self.storage or str(self.folder / "storage")
        texts = [f"How do I plant {number} tulips?" for number in range(PROMPTS)]
        lines = (json.dumps({"prompt": text, "prompt_source": "drill"}) + "\n" for text in texts)
        (self.folder / "prompts.jsonl").write_text("".join(lines))
        self.write_config()

    def write_config(self) -> None:
        """Write the configuration as this run is set now."""
        attach = f'{{ kind = "attach", address = "{self.machines.ray.address}" }}'
        text = CONFIG.format(
            storage=self.storage,
            cluster='{ kind = "local", cpus = 2 }' if self.local else attach,
            prompts=self.folder / "prompts.jsonl",
            journal=self.folder / "journal",
            seconds=self.milliseconds / 1000,
            garbage_every=self.garbage_every,
            replicas=REPLICAS,
            block_rows=BLOCK_ROWS,
        )
        self.config.write_text(text)

    @property
    def config(self) -> Path:
        """The TOML file."""
        return self.folder / "config.toml"

    def command(self) -> list[str]:
        """What starts the flow."""
        return [sys.executable, "-m", "flows.pipeline", str(self.config)]

    def start(self, *command: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Driver:
        """Start the flow, or a command in its place."""
        self.drivers += 1
        log = self.folder / f"driver-{self.drivers}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command) or self.command(),
                cwd=cwd,
                env=self.machines.environment | dict(environment or {}),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Driver(process, log)

    def asked(self) -> list[str]:
        """The requests that reached an engine, in order."""
        journal = self.folder / "journal"
        return journal.read_text().splitlines() if journal.exists() else []

    def committed(self) -> set[str]:
        """The requests whose answers stand in whole blocks of the store."""
        return {request for block in self.blocks() for request in self.read_block(block)}

    def blocks(self) -> list[str]:
        """The store's blocks of completions, as paths of its file system."""
        files, path = self.files()
        return [found for found in files.find(f"{path}/tables/completions") if found.endswith(".parquet")]

    def read_block(self, block: str) -> list[str]:
        """The requests in one block, which never changes; none where it is no Parquet file, or is gone by now."""
        files, _ = self.files()
        try:
            if block not in self.read:
                self.read[block] = pq.read_table(io.BytesIO(files.cat_file(block)))["request_id"].to_pylist()
        except (OSError, pa.ArrowInvalid):
            return []
        return self.read[block]

    def files(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system of the storage, which remembers nothing, and the path in it."""
        if "://" in self.storage:
            return self.machines.s3.files(), self.storage.split("://", 1)[1]
        return fsspec.filesystem("file"), self.storage

    def give(self, reference: "Run") -> "Run":
        """Put the blocks that answer all but the responder's requests into the store, as an earlier run would have."""
        responders = set(reference.asked()[:REQUESTS])
        files, path = self.files()
        for block in reference.blocks():
            held = set(reference.read_block(block))
            if held and held.isdisjoint(responders):
                copy = f"{path}/{Path(block).relative_to(reference.storage)}"
                files.makedirs(copy.rsplit("/", 1)[0], exist_ok=True)
                files.pipe_file(copy, Path(block).read_bytes())
                self.given |= held
        embeddings = Path(reference.storage) / "tables/embeddings"
        files.put(f"{embeddings}/", f"{path}/tables/embeddings/", recursive=True)
        return self

    def start_and_wait(self, rows: int = 2 * BLOCK_ROWS) -> Driver:
        """Start the flow, wait until the responder is in the middle of its work, and note what is kept and asked."""
        driver = self.start()
        self.until_committed(driver, rows)
        self.snapshot()
        return driver

    def until_committed(self, driver: Driver, rows: int = 2 * BLOCK_ROWS) -> None:
        """Wait until so many answers are kept."""
        until(
            lambda: driver.process.poll() is not None or len(self.committed() - self.given) >= rows,
            200,
            f"{rows} answers are committed",
        )

    def snapshot(self) -> None:
        """Note what is kept, and only then what was asked: what is kept must not be asked after."""
        kept = self.committed()
        self.snapshots.append(Snapshot(kept, len(self.asked())))

    def run(self) -> Ended:
        """Run the flow to its end."""
        return self.start().wait()

    def asked_again(self) -> tuple[int, int]:
        """How many requests were asked again: those that were committed before, and those that were not."""
        asked = self.asked()
        committed = set().union(*(set(asked[shot.asked :]) & shot.kept for shot in self.snapshots))
        again = sum(number - 1 for request, number in Counter(asked).items() if request not in committed)
        return len(committed), again

    def latest(self) -> dict[str, Any] | None:
        """What the pointer says, or None before the first release."""
        files, path = self.files()
        pointer = f"{path}/releases/latest.json"
        return dict(json.loads(files.cat_file(pointer))) if files.exists(pointer) else None

    def published(self) -> dict[str, pa.Table]:
        """The Parquet files of the latest release, without the gate's, by their path in it."""
        latest = self.latest()
        if latest is None:
            return {}
        files, path = self.files()
        root = f"{path}/releases/{latest['version']}/"
        found = [file for file in files.find(root) if file.endswith(".parquet")]
        tables = {file.split(root, 1)[-1]: pq.read_table(io.BytesIO(files.cat_file(file))) for file in found}
        return {name: table for name, table in tables.items() if not name.startswith("gate/")}


def rows_of(tables: dict[str, pa.Table]) -> Counter[str]:
    """Every published row as text, with its file, counted; without what a run took, which differs from run to run."""
    return Counter(
        json.dumps([name, {column: value for column, value in row.items() if column not in TOOK}], sort_keys=True)
        for name, table in tables.items()
        for row in table.to_pylist()
    )


def duplicates(tables: dict[str, pa.Table]) -> int:
    """Published rows whose key another row of the same table has; both splits of a dataset are one table."""
    found: Counter[str] = Counter()
    for path, table in tables.items():
        name = path.removesuffix("/train.parquet").removesuffix("/test.parquet")
        key = KEYS[path.split("/")[0] if path.split("/")[0] in KEYS else path]
        found.update(json.dumps([name, row], sort_keys=True) for row in table.select(key).to_pylist())
    return found.total() - len(found)
