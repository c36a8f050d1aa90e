"""What people see of a run: artifacts in the Prefect UI, and the summary at its end.

In: stages, the gate's verdict, the release. Out: text and tables of counts; never a prompt or an answer.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from rich.console import Console
from rich.table import Table

from expectations.gate import Verdict
from infra import storage
from tasks import warehouse
from tasks.errors import SafePairsError
from tasks.release import Release
from tasks.tables import Stage


def report(stage: Stage, started: float) -> Stage:
    """Show a stage that began at `started` (seconds of the monotonic clock) as an artifact; return it with its time."""
    timed = replace(stage, seconds=monotonic() - started)
    create_table_artifact(
        table=[counts(timed)], key=timed.name.replace("_", "-"), description=f"One row per {timed.grain}"
    )
    return timed


def counts(stage: Stage) -> dict[str, str]:
    """One stage as a row for people."""
    cost = stage.cost
    return {
        "stage": stage.name,
        "in": f"{stage.rows_in:,}",
        "kept": f"{stage.rows_kept:,}",
        "dropped": f"{stage.dropped.rows:,}",
        "asked": f"{cost.asked:,}",
        "found": f"{cost.found:,}",
        "tokens in": f"{cost.input_tokens:,}",
        "tokens out": f"{cost.output_tokens:,}",
        "seconds": f"{stage.seconds:.1f}",
    }


def report_gate(version: str, verdict: Verdict) -> None:
    """Show every rule and what became of it."""
    rules = [
        {"suite": r.suite, "rule": r.rule, "severity": r.severity, "outcome": r.outcome, "rows": r.failing}
        for r in verdict.results
    ]
    rules.sort(key=lambda rule: rule["outcome"] == "passed")
    create_table_artifact(table=rules, key="gate", description=f"Release {version}: {describe(verdict)}")


def describe(verdict: Verdict) -> str:
    """The verdict in one line: what was broken, by rule, what refuses first."""
    broken = sorted((r for r in verdict.results if r.outcome != "passed"), key=lambda r: r.severity)
    rules = ", ".join(f"{r.suite}.{r.rule} {r.outcome} ({r.severity})" for r in broken)
    outcome = "passed" if verdict.passed else "refused"
    return f"{outcome}, {len(broken)} of {len(verdict.results)} rules broken" + (f": {rules}" if rules else "")


def report_release(release: Release, stages: Sequence[Stage]) -> None:
    """Show the whole run as one page."""
    rows = [counts(stage) for stage in stages]
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0]), *(" | ".join(row.values()) for row in rows)]
    page = "\n".join(f"| {line} |" for line in lines)
    text = f"# Release {release.version}\n\n{release.said}\n\n`{release.uri}`\n\n{page}\n"
    create_markdown_artifact(markdown=text, key="release", description=f"Release {release.version}")


def print_summary(release: Release, stages: Sequence[Stage]) -> None:
    """Close a run on the terminal: stages, drops, verdict, where the release is, what to type next."""
    console = Console(width=120, highlight=False)
    table = Table(*(name for name in counts(stages[0])), title="stages", title_justify="left")
    for stage in stages:
        table.add_row(*counts(stage).values())
    console.print(table)
    drops = Table("stage", "reason", "rows", title="left out", title_justify="left")
    for row in warehouse.rows("drops", {"dropped": [stage.dropped for stage in stages]}):
        drops.add_row(row["stage"], row["reason"], f"{row['rows']:,}")
    console.print(drops)
    root = release.uri.rsplit("/releases/", 1)[0]
    console.print(f"gate      {release.said}", soft_wrap=True)
    console.print(f"release   {release.uri}", soft_wrap=True)
    console.print("next      make sql STORAGE=" + root, soft_wrap=True)
    console.print(f"          less {storage.join(release.uri, 'README.md')}", soft_wrap=True)
    console.print(f"          python -m webbrowser {storage.join(release.uri, 'gate/docs/index.html')}", soft_wrap=True)


class OneLineErrors(logging.Filter):
    """Log a fault that the user can mend as its one line, without the stack trace that Prefect adds."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; it is always logged."""
        if record.exc_info and isinstance(record.exc_info[1], SafePairsError):
            record.msg, record.args = str(record.exc_info[1]), ()
            record.exc_info = None
        return True


def set_up_logging() -> None:
    """Show the progress of stages, and errors in one line."""
    logging.getLogger("tasks").setLevel(logging.INFO)
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(OneLineErrors())
