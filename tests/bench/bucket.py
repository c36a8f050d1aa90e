"""How long a run takes whose storage is a bucket, next to one on disk: the scripted configuration, in turns.

In: nothing. Out: the seconds of each flow, from its begin to the end of its last task, for a first run and for the same
again, and how many times as long the bucket takes, best of each. The bucket is on this machine, so that it is the number of requests that
costs and not the way to it.
Run as `python -m tests.bench.bucket [--turns N]`.
"""

import argparse
import os
import tempfile
from datetime import datetime
from pathlib import Path

from tests.bench.overhead import ROOT, Memory, run
from tests.ports import choose_ports
from tests.s3_server import PORTS, client, environment, s3_server


def flow(storage: str) -> float:
    """Seconds of one run of the scripted configuration, by the clock in Prefect's own lines.

    To the end of its last task: after it Prefect waits for its heartbeat, up to a second, and so to a whole second since the begin.
    """
    began: list[datetime] = []
    ended: list[datetime] = []

    def heard(line: str, _: float, __: Memory) -> None:
        if "Beginning flow run" in line:
            began.append(told_at(line))
        elif "Task run" in line and "Finished in state" in line:
            ended.append(told_at(line))

    run("-m", "flows.pipeline", str(ROOT / "flows/configs/scripted.toml"), "--storage", storage, heard=heard)
    return (ended[-1] - began[0]).total_seconds() % 86_400


def told_at(line: str) -> datetime:
    """The time of day in a line of Prefect."""
    return datetime.strptime(line.partition(" | ")[0].strip(), "%H:%M:%S.%f")


def main() -> None:
    """Print what disk and bucket take."""
    parser = argparse.ArgumentParser(description="Measure what a storage in a bucket costs.")
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    taken: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="safepairs-bench-") as scratch:
        ports = choose_ports(len(PORTS))
        with s3_server(Path(scratch) / "s3", ports):
            client(ports[0]).mkdir("bench")
            os.environ.update(environment(ports[0]))
            for turn in range(turns):
                for place, root in (("disk", scratch), ("bucket", "s3://bench")):
                    for time in ("first", "again"):
                        taken.setdefault((place, time), []).append(flow(f"{root}/{turn}"))
    for time in ("first", "again"):
        disk, bucket = taken["disk", time], taken["bucket", time]
        for place, seconds in (("disk", disk), ("bucket", bucket)):
            print(f"    {place} {time:8}", "  ".join(f"{second:6.2f} s" for second in seconds))
        print(f"    a bucket takes {min(bucket) / min(disk):.2f} times the disk (best of {turns})")


if __name__ == "__main__":
    main()
