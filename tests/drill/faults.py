"""The faults: each breaks one thing in the middle of a run of its own, has the run mended, and says what happened.

A fault raises Violated where the pipeline did not do what it must; the measures of `report.py` are taken of all.
"""

import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.disks import ON_LITTLE
from tests.drill.machines import ROOT, Machines, kill, of_session, spawn
from tests.drill.runs import BLOCK_ROWS, REQUESTS, Ended, Run
from tests.waiting import until

OLD_COMMIT = "74a39ba"
"""The oldest version whose requests have the names that they have now."""
SECONDS_AWAY = 30
SECONDS_TO_STOP = 10
LETTERS = 120
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)


class Violated(Exception):
    """The pipeline did not do what it must."""


class Skipped(Exception):
    """This machine cannot make the fault."""


@dataclass
class Drill:
    """The machines, and the run that nobody disturbed."""

    machines: Machines
    reference: Run

    def run(self, name: str, **options: Any) -> Run:
        """A run of the same configuration that has to ask the responder only."""
        return Run(self.machines, self.machines.folder / name, **options).give(self.reference)

    def run_on_s3(self, name: str, **options: Any) -> Run:
        """The same on S3."""
        self.machines.s3.start()
        return self.run(name, storage=f"s3://drill/{name}", **options)


Fault = Callable[[Drill], tuple[str, Run]]


def must(holds: object, what: str) -> None:
    """Raise Violated unless it holds."""
    if not holds:
        raise Violated(what)


def refused(ended: Ended) -> str:
    """The one line that a run ended with; it must be one, with exit code 2."""
    must(ended.code == 2 and ended.line and not ended.traceback, f"exit {ended.code}, not one line: {ended.line}")
    return ended.line


def finish(run: Run, ended: Ended | None = None) -> str:
    """Run again if need be; which it was."""
    if ended and ended.code == 0:
        return "went on by itself"
    said = f"refused: {shortened(refused(ended), run)}; " if ended else ""
    again = run.run()
    must(again.code == 0, f"run again: exit {again.code} {again.line}")
    return f"{said}run again went on"


def shortened(line: str, run: Run) -> str:
    """A line without the names of folders that nobody knows."""
    words = line.replace(f"{run.machines.folder}/", "").replace(run.machines.s3.endpoint, "")
    return words if len(words) <= LETTERS else f"{words[:LETTERS]}..."


def driver_killed(drill: Drill) -> tuple[str, Run]:
    """the driver is killed"""
    run = drill.run("driver", milliseconds=600)
    driver = run.start_and_wait()
    os.kill(driver.process.pid, signal.SIGKILL)
    driver.wait()
    before = drill.machines.ray.at_work()
    must(len(before) == 1, f"{len(before)} jobs at work")
    said = finish(run)
    twins = [job for job in drill.machines.ray.jobs() if (job.submission_id or "").startswith(before[0][:-2])]
    must(len(twins) == 1, f"the job was started {len(twins)} times")
    return f"{said}, found its job at work", run


def stopped_while_ray_starts(drill: Drill) -> tuple[str, Run]:
    """Ctrl-C while Ray starts"""
    run = Run(drill.machines, drill.machines.folder / "stopped", local=True)
    driver = run.start()
    store = Path(run.storage) / "tables/completions"
    until(lambda: driver.process.poll() is not None or any(store.glob("*/columns-*")), 100, "a job has begun")
    told = time.monotonic()
    os.killpg(driver.process.pid, signal.SIGINT)
    ended = driver.wait()
    took = time.monotonic() - told
    left = of_session(driver.process.pid)
    must(ended.code == 128 + signal.SIGINT and not ended.traceback, f"exit {ended.code}")
    must(took < SECONDS_TO_STOP and not left, f"{took:.0f} s, {len(left)} processes at work after it")
    run.snapshot()
    asked = len(run.asked())
    run.local = False
    run.write_config()
    run.give(drill.reference)
    return f"ended in {took:.1f} s with all that it started, {asked} asked; {finish(run)}", run


def all_engines(machines: Machines) -> list[tuple[int, psutil.Process]]:
    """The node and the process of each engine actor, once all three are at work."""

    def found() -> list[tuple[int, psutil.Process]]:
        return [(place, engine) for place, engines in machines.ray.engines().items() for engine in engines]

    until(lambda: len(found()) == 3, 60, "three engines are at work")
    return found()


def engine_killed(drill: Drill) -> tuple[str, Run]:
    """an engine actor is killed"""
    run = drill.run("engine")
    driver = run.start_and_wait()
    all_engines(drill.machines)[0][1].kill()
    ended = driver.wait()
    must(ended.code == 0, f"exit {ended.code} {ended.line}")
    return finish(run, ended), run


def node_killed(drill: Drill) -> tuple[str, Run]:
    """a Ray node is killed"""
    run = drill.run("node")
    driver = run.start_and_wait()
    ray = drill.machines.ray
    place = next(place for place, _ in all_engines(drill.machines) if place)
    kill(ray.nodes[place].pid)
    ended = driver.wait()
    ray.start()
    must(ended.code == 0, f"exit {ended.code} {ended.line}")
    return finish(run, ended), run


def prefect_killed(drill: Drill) -> tuple[str, Run]:
    """the Prefect server is killed and comes back"""
    run = drill.run("prefect")
    driver = run.start_and_wait()
    drill.machines.prefect.stop()
    drill.machines.prefect.start()
    return finish(run, driver.wait()), run


def s3_away(drill: Drill) -> tuple[str, Run]:
    """S3 is down for 30 s"""
    run = drill.run_on_s3("s3-away", milliseconds=800)
    driver = run.start_and_wait()
    drill.machines.s3.stop()
    back = time.monotonic() + SECONDS_AWAY
    until(lambda: time.monotonic() >= back)
    drill.machines.s3.start()
    return finish(run, driver.wait()), run


def s3_gone(drill: Drill) -> tuple[str, Run]:
    """S3 is down for good"""
    run = drill.run_on_s3("s3-gone", milliseconds=800)
    driver = run.start_and_wait()
    drill.machines.s3.stop()
    ended = driver.wait()
    jobs = drill.machines.ray.at_work()
    drill.machines.s3.start()
    refused(ended)
    must(not jobs, f"{len(jobs)} jobs still at work")
    must(run.latest() is None, "published")
    return finish(run, ended), run


def disk_full(drill: Drill) -> tuple[str, Run]:
    """the disk is full"""
    run = Run(drill.machines, drill.machines.folder / "disk", local=True, milliseconds=0)
    disk, kept, done = (run.folder / name for name in ("storage", "kept", "done"))
    disk.mkdir()
    flow, on_little = shlex.join(run.command()), shlex.join([*ON_LITTLE, str(run.config)])
    script = (
        f"mount -t tmpfs -o size=132k tmpfs {disk} && {on_little}; echo code $?; cp -r {disk} {kept}; "
        f"wc -l < {run.folder}/journal > {run.folder}/asked; mount -o remount,size=64m {disk}; {flow}; code=$?; "
        f"cp -r {disk} {done}; exit $code"
    )
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        raise Skipped("no mounting here")
    driver = run.start("unshare", "-rm", "sh", "-c", script)
    ended = driver.wait()
    must("code 2" in driver.log.read_text() and not ended.traceback, "the full disk is not one line and exit 2")
    run.storage = str(kept)
    must(not (kept / "releases").exists() and not list(kept.rglob("*.partial")), "half of something is left")
    run.snapshot()
    run.snapshots[-1].asked = int((run.folder / "asked").read_text())
    run.storage = str(done)
    must(ended.code == 0, f"run again: exit {ended.code} {ended.line}")
    return f"refused: {shortened(ended.line, run)}; run again with room went on", run


def block_truncated(drill: Drill) -> tuple[str, Run]:
    """a block is truncated"""
    run = drill.run("block")
    responders = set(drill.reference.asked()[: 3 * BLOCK_ROWS])
    shutil.rmtree(Path(run.storage) / "tables")
    shutil.copytree(Path(drill.reference.storage) / "tables/completions", Path(run.storage) / "tables/completions")
    broken = next(block for block in run.blocks() if responders & set(run.read_block(block)))
    os.truncate(broken, os.path.getsize(broken) // 2)
    run.read.clear()
    run.snapshot()
    return f"{finish(run)}, asked for its rows", run


def copy_of_reference(drill: Drill, name: str) -> tuple[Run, Path]:
    """A storage with a whole release, and its manifest cut in half."""
    run = Run(drill.machines, drill.machines.folder / name)
    shutil.copytree(drill.reference.storage, run.storage)
    (manifest,) = Path(run.storage).glob("releases/*/manifest.json")
    os.truncate(manifest, os.path.getsize(manifest) // 2)
    run.snapshot()
    return run, manifest


def manifest_half(drill: Drill) -> tuple[str, Run]:
    """a manifest is half written, not pointed to"""
    run, manifest = copy_of_reference(drill, "manifest")
    (Path(run.storage) / "releases/latest.json").unlink()
    ended = run.run()
    if ended.code == 0:
        latest = run.latest()
        must(latest, "no pointer")
        json.loads((Path(run.storage) / "releases" / str(latest and latest["version"]) / "manifest.json").read_text())
        return "published beside it", run
    line = refused(ended)
    must(run.latest() is None, "followed")
    shutil.rmtree(manifest.parent)
    return f"{finish(run, ended)} without the broken release" if line else "", run


def manifest_half_pointed_to(drill: Drill) -> tuple[str, Run]:
    """a manifest is half written and pointed to"""
    run, manifest = copy_of_reference(drill, "pointed")
    ended = run.run()
    refused(ended)
    shutil.copy(Path(drill.reference.storage) / manifest.relative_to(run.storage), manifest)
    return f"{finish(run, ended)} with the manifest mended", run


def digest_mismatch(drill: Drill) -> tuple[str, Run]:
    """a file of the latest release is changed"""
    run = Run(drill.machines, drill.machines.folder / "digest")
    shutil.copytree(drill.reference.storage, run.storage)
    (card,) = Path(run.storage).glob("releases/*/README.md")
    card.write_text("changed")
    run.snapshot()
    verify = [sys.executable, "-m", "tasks.release.verify", run.storage]
    found = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, check=False)
    must(found.returncode == 1 and "README.md was changed" in found.stdout, "not found by verify")
    ended = run.run()
    must(ended.code == 0, f"exit {ended.code} {ended.line}")
    latest = run.latest()
    must(latest and latest["version"] != card.parent.name, "the damaged release is still the latest one")
    return "found by verify, made again under another version", run


def one_of_two(run: Run) -> str:
    """Start a flow twice at once: one works, the other is refused."""
    drivers = [run.start(), run.start()]
    ended = sorted((driver.wait() for driver in drivers), key=lambda end: end.code)
    must([end.code for end in ended] == [0, 2], f"exits {[end.code for end in ended]}: {[end.line for end in ended]}")
    return f"one worked, one was refused: {refused(ended[1]).split(': ', 1)[-1][:60]}"


def started_twice(drill: Drill) -> tuple[str, Run]:
    """started twice at once"""
    run = drill.run("twice")
    return one_of_two(run), run


def started_twice_on_s3(drill: Drill) -> tuple[str, Run]:
    """started twice at once on S3"""
    run = drill.run_on_s3("twice-s3")
    return one_of_two(run), run


def call(api: str, path: str, body: Mapping[str, object], method: str = "POST") -> bytes:
    """One call of Prefect's API."""
    request = urllib.request.Request(  # noqa: S310 (a server that the drill started)
        f"{api}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return bytes(answer.read())


def ask(api: str, path: str, **body: object) -> Any:
    """What Prefect's API answers to a call."""
    return json.loads(call(api, path, body))


@contextmanager
def served(run: Run) -> Iterator[Callable[[], str]]:
    """A process that serves the flow; gives what starts a run of it, and the run's id."""
    api = run.machines.prefect.api
    for earlier in ask(api, "/deployments/filter"):
        call(api, f"/deployments/{earlier['id']}", {}, "DELETE")
    command = [sys.executable, "-m", "flows.running.serve", "", str(run.config)]
    environment = run.machines.environment | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    process = spawn(command, environment, run.folder / "serve.log")
    try:
        until(lambda: ask(api, "/deployments/filter"), 60, "the flow is served")
        (nightly,) = ask(api, "/deployments/filter")
        yield lambda: str(ask(api, f"/deployments/{nightly['id']}/create_flow_run")["id"])
    finally:
        kill(process.pid)


def cancel_in_mid_generation(run: Run, flow_run: str) -> None:
    """Wait until a run of a deployment has kept some answers, then cancel it as the UI does."""
    api = run.machines.prefect.api
    until(lambda: len(run.committed() - run.given) >= 2 * BLOCK_ROWS, 200, "the run is in mid-generation")
    run.snapshot()
    ask(api, f"/flow_runs/{flow_run}/set_state", state={"type": "CANCELLING"})
    until(lambda: state(api, flow_run) == "CANCELLED", 90, "the run is cancelled")
    until(lambda: not run.machines.ray.at_work(), 100, "no job is at work")


def cancelled(drill: Drill) -> tuple[str, Run]:
    """cancelled in the UI"""
    run = drill.run("cancelled", milliseconds=2000)
    with served(run) as start:
        cancel_in_mid_generation(run, start())
        must(len(run.asked()) < REQUESTS, "its Ray job went on to its end")
    return f"its job was stopped; {finish(run)}", run


class Payload:
    """Makes the file `ran` when it is unpickled."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.ran,)


def result_pickled(drill: Drill) -> tuple[str, Run]:
    """what a task gave is replaced by a pickle before a retry"""
    run = drill.run("pickled", milliseconds=2000)
    api, ran = run.machines.prefect.api, run.folder / "ran"
    with served(run) as start:
        flow_run = start()
        cancel_in_mid_generation(run, flow_run)
        inputs = f"/flow_runs/{flow_run}/input"
        kept = [found["key"] for found in ask(api, f"{inputs}/filter", prefix="kept-", limit=100)]
        must(kept, "no result is kept")
        for key in kept:
            call(api, f"{inputs}/{key}", {}, "DELETE")
            call(api, inputs, {"key": key, "value": pickle.dumps(Payload(ran), protocol=0).decode()})
        ask(api, f"/flow_runs/{flow_run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})
        until(lambda: state(api, flow_run) in ("COMPLETED", "FAILED", "CRASHED"), 240, "the retry has ended")
    must(not ran.exists(), "a pickle was read")
    must(state(api, flow_run) == "COMPLETED", "the retry failed")
    return "the task was done again, the retry went on", run


def state(api: str, flow_run: str) -> str:
    """The type of a flow run's state."""
    (found,) = ask(api, "/flow_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
    return str(found["state_type"])


def older_code(drill: Drill) -> tuple[str, Run]:
    """an older version's run is gone on with"""
    run = Run(drill.machines, drill.machines.folder / "older", local=True)
    code = run.folder / "code"
    code.mkdir()
    archive = subprocess.run(["git", "archive", OLD_COMMIT], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive, check=True)
    driver = run.start(cwd=code, environment={"PYTHONPATH": str(code)})
    run.until_committed(driver)
    kill(driver.process.pid)
    run.snapshot()
    first, kept = run.asked(), run.snapshots[-1].kept
    run.local = False
    run.write_config()
    run.give(drill.reference)
    said = finish(run)
    same = kept & set(drill.reference.asked())
    must(first and kept and same == kept, f"of {len(kept)} kept answers {len(same)} were found")
    return f"{said}; all {len(kept)} kept answers were found", run


def clock_moved(drill: Drill) -> tuple[str, Run]:
    """the clock is moved back a day"""
    library = next((path for path in FAKETIME if os.path.exists(path)), None)
    if library is None:
        raise Skipped("no libfaketime here")
    run = drill.run("clock")
    offset = run.folder / "offset"
    offset.write_text("+0\n")
    fake = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    driver = run.start(environment={"LD_PRELOAD": library, **fake})
    run.until_committed(driver)
    run.snapshot()
    offset.write_text("-1d\n")
    said = finish(run, driver.wait())
    latest = run.latest()
    return f"{said}, published as {latest['version'] if latest else None}", run


def garbage(drill: Drill) -> tuple[str, Run]:
    """a judge returns garbage for each tenth row"""
    run = drill.run("garbage", garbage_every=10, milliseconds=0)
    ended = run.run()
    must(ended.code in (0, 3), f"exit {ended.code} {ended.line}")
    must(run.latest(), f"refused by the gate: {ended.line}")
    tables = run.published()
    dropped = tables["dropped.parquet"].to_pylist()
    must(all(row["reason"] for row in dropped), "rows without a reason")
    problems = sum(row["problem"] is not None for row in tables["annotations/verdicts.parquet"].to_pylist())
    reasons = sorted({row["reason"] for row in dropped} - {"less diverse"})
    return f"{problems} verdicts unusable, {len(dropped)} rows dropped with reasons ({', '.join(reasons)})", run


FAULTS: dict[str, Fault] = {
    "driver": driver_killed,
    "stop": stopped_while_ray_starts,
    "engine": engine_killed,
    "node": node_killed,
    "prefect": prefect_killed,
    "s3-away": s3_away,
    "s3-gone": s3_gone,
    "disk": disk_full,
    "block": block_truncated,
    "manifest": manifest_half,
    "pointed": manifest_half_pointed_to,
    "digest": digest_mismatch,
    "twice": started_twice,
    "twice-s3": started_twice_on_s3,
    "cancel": cancelled,
    "pickled": result_pickled,
    "older": older_code,
    "clock": clock_moved,
    "garbage": garbage,
}
