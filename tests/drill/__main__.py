"""Break what runs stand on, one thing at a time, and print one table of what became of each run.

Run as `python -m tests.drill [FAULT ...]`, `--list` for their names. Exit code 1 if a run lost a row, published one
twice, asked again for an answer that was committed, or did not do what it must.
"""

import argparse
import signal
import sys
import tempfile
from dataclasses import astuple, dataclass
from math import ceil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.drill.faults import FAULTS, Drill, Skipped, Violated
from tests.drill.machines import ROOT, Machines
from tests.drill.runs import BLOCK_ROWS, PROMPTS, REPLICAS, Run, duplicates, rows_of
from tests.waiting import Late

OUTPUT = ROOT / "tests/output/drill.md"
HEADERS = (
    "fault",
    "what happened",
    "requests asked",
    "asked again, committed",
    "asked again, uncommitted (blocks)",
    "rows lost",
    "duplicate rows",
    "outcome",
)


@dataclass(frozen=True)
class Row:
    """One fault's line of the table."""

    fault: str
    said: str
    asked: int = 0
    committed_again: int = 0
    blocks_again: int = 0
    lost: int = 0
    duplicates: int = 0
    outcome: str = "ok"


def drill(name: str, made: Drill) -> Row:
    """Make one fault and measure what became of its run."""
    title = str(FAULTS[name].__doc__)
    try:
        said, run = FAULTS[name](made)
    except Skipped as skipped:
        return Row(title, str(skipped), outcome="not run")
    except (Violated, Late) as violated:
        return Row(title, str(violated), outcome="FAILED")
    return measure(title, said, run, made.reference)


def measure(title: str, said: str, run: Run, reference: Run) -> Row:
    """Compare a run that went on with the one that nobody disturbed."""
    tables = run.published()
    rows, expected = rows_of(tables), rows_of(reference.published())
    if run.garbage_every:
        # Another judge, another release: here each stage's rows must add up.
        stages = tables["annotations/stages.parquet"].to_pylist()
        lost = sum(abs(stage["rows_in"] - stage["rows_kept"] - stage["rows_dropped"]) for stage in stages)
        extra = 0
    else:
        lost, extra = (expected - rows).total(), (rows - expected).total()
    committed, uncommitted = run.asked_again()
    twice = max(duplicates(tables), extra)
    blocks = ceil(uncommitted / BLOCK_ROWS)
    fine = tables and not committed and not lost and not twice and blocks <= REPLICAS
    return Row(title, said, len(run.asked()), committed, blocks, lost, twice, "ok" if fine else "FAILED")


def show(rows: list[Row]) -> None:
    """Print the table, and write it to `tests/output/drill.md`."""
    table = Table(*HEADERS)
    for row in rows:
        table.add_row(*(str(value) for value in astuple(row)))
    Console(width=200, highlight=False).print(table)
    lines = [HEADERS, ("---",) * len(HEADERS), *(astuple(row) for row in rows)]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("".join(f"| {' | '.join(str(value) for value in line)} |\n" for line in lines))


def main() -> None:
    """Start the machines, run one flow undisturbed, make the faults, show what became of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description="Break what runs stand on.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="all if none is given")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("--keep", action="store_true", help="leave the drill's folder, with all logs")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if arguments.list:
        sys.stdout.write("".join(f"{name:10} {fault.__doc__}\n" for name, fault in FAULTS.items()))
        return
    # A shell has what it starts in the background ignore Ctrl-C, and so would the runs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    machines = Machines.at(Path(tempfile.mkdtemp(prefix="drill-")))
    console = Console(highlight=False)
    rows: list[Row] = []
    try:
        machines.start()
        reference = Run(machines, machines.folder / "reference", milliseconds=0)
        ended = reference.run()
        if ended.code or len(reference.asked()) < PROMPTS:
            sys.exit(f"the undisturbed run failed: exit {ended.code} {ended.line}")
        for name in arguments.faults or FAULTS:
            rows.append(drill(name, Drill(machines, reference)))
            console.print(f"{rows[-1].outcome:7} {rows[-1].fault}: {rows[-1].said}", soft_wrap=True)
            machines.s3.stop()
    finally:
        machines.stop(keep=arguments.keep)
    show(rows)
    sys.exit(any(row.outcome == "FAILED" for row in rows))


if __name__ == "__main__":
    main()
