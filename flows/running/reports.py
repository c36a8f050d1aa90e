"""What people see of a run: artifacts in the Prefect UI, and the summary at its end.

In: stages, the gate's outcome, the release. Out: text and tables of counts; never a prompt or an answer.
"""

import logging
import re
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, wraps
from time import monotonic
from typing import ParamSpec
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from rich.table import Table

from expectations.outcome import GateOutcome
from infra import storage
from infra.terminal import terminal
from tasks import warehouse
from tasks.errors import SafePairsError, one_line
from tasks.plan import Planned
from tasks.release.candidate import ANNOTATIONS
from tasks.release.release import Release
from tasks.tables import TOKENS, Ref, Stage
from tasks.work.job import Job, Progress, Tell
from tasks.work.store import SECONDS_BETWEEN_REPORTS, speed

logger = logging.getLogger(__name__)
Given = ParamSpec("Given")
PLAIN = re.compile(r"(?!.*(?:www\.|\b_|_\b))[\w .,:%()+-]*", re.IGNORECASE)
"""What neither Markdown nor HTML makes anything of: no emphasis, no address."""


def timed(make: Callable[Given, Stage]) -> Callable[Given, Stage]:
    """Give the stage that a task makes the time that it took."""

    @wraps(make)
    def make_timed(*args: Given.args, **kwargs: Given.kwargs) -> Stage:
        started = monotonic()
        stage = make(*args, **kwargs)
        return replace(stage, seconds=monotonic() - started)

    return make_timed


def shown(make: Callable[Given, Stage]) -> Callable[Given, Stage]:
    """Show the stage that a task makes as an artifact; a plan calls `make` alone."""

    @wraps(make)
    def make_shown(*args: Given.args, **kwargs: Given.kwargs) -> Stage:
        stage = make(*args, **kwargs)
        key, description = stage.name.replace("_", "-"), f"One row per {stage.grain}"
        create_table_artifact(table=[counts(stage)], key=key, description=description)
        if failed := errors([stage]):
            create_table_artifact(table=failed, key=f"{key}-errors", description="What engines said instead of answers")
        return stage

    return make_shown


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
        "tokens in": tokens(cost.input_tokens, cost.estimated_input_tokens),
        "tokens out": tokens(cost.output_tokens, cost.estimated_output_tokens),
        "out/s": speed(cost).removesuffix(" tokens/s") if cost.seconds else "",
        "queue s": f"{cost.queue_seconds:.1f}",
        "start s": f"{cost.start_seconds:.1f}",
        "work s": f"{cost.seconds:.1f}",
        "all s": f"{stage.seconds:.1f}",
    }


def tokens(told: int, estimated: int) -> str:
    """A number of tokens for people: those that engines told, and with `~` those that are estimated."""
    parts = [f"{told:,}"] * bool(told or not estimated) + [f"~{estimated:,}"] * bool(estimated)
    return " + ".join(parts)


def untold(stages: Sequence[Stage]) -> str:
    """What `~` says of tokens, where some are estimated."""
    estimated = any(stage.cost.estimated_input_tokens or stage.cost.estimated_output_tokens for stage in stages)
    return "~: tokens that an endpoint did not tell, estimated by its texts" if estimated else ""


def errors(stages: Sequence[Stage]) -> list[dict[str, str]]:
    """What engines said instead of answers in this run, and how often, as rows for people."""
    return [
        {"model work": name, "error": error, "requests": f"{number:,}"}
        for stage in stages
        for name, cost in stage.costs.items()
        for error, number in cost.errors
    ]


@cache  # what is published never changes
def unanswered(release: Release) -> list[dict[str, str]]:
    """What of the requests to each model has no answer in the release, and which share, as its card says it: rows for people."""
    tables = {
        name: Ref(storage.join(release.uri, ANNOTATIONS[name]), 0, "") for name in ("responses", "verdicts", "dropped")
    }
    return [
        {"model": row["model"], "asked for": row["asked_for"], "requests": f"{row['requests']:,}"}
        | {
            kind.replace("_", " "): f"{row[kind]:,} ({row[f'share_{kind}']:.2%})"
            for kind in ("failed", "filtered", "too_long")
        }
        for row in warehouse.rows("asked_of_models", tables)
    ]


def show_progress(job: Job) -> Tell:
    """Show how far a job is as an artifact that changes while it runs; give what is to be told."""
    name = re.sub(r"[^a-z0-9]+", "-", job.name.lower())
    try:
        artifact = create_progress_artifact(progress=0.0, key=f"progress-{name}", description=f"{job.name}: starting")
    except httpx.HTTPError as error:
        logger.warning("%s: the Prefect server takes no progress (%s); going on without", job.name, error)
        return lambda progress: None
    assert isinstance(artifact, UUID)  # noqa: S101 (typed for asynchronous callers too)
    shown = monotonic()

    def tell(progress: Progress) -> None:
        nonlocal shown
        if monotonic() - shown < SECONDS_BETWEEN_REPORTS and progress.rows < job.rows:
            return
        shown = monotonic()
        try:
            update_progress_artifact(
                artifact, progress=100 * progress.rows / job.rows, description=describe_progress(job, progress)
            )
        except httpx.HTTPError as error:
            logger.warning("%s: the Prefect server does not take its progress (%s); going on", job.name, error)

    return tell


def describe_progress(job: Job, progress: Progress) -> str:
    """A job of any kind so far in one line, with its tokens where it has some."""
    cost = progress.cost
    spent = (
        f"{tokens(cost.input_tokens, cost.estimated_input_tokens)} tokens in, "
        f"{tokens(cost.output_tokens, cost.estimated_output_tokens)} out, {speed(cost)}, "
    )
    return (
        f"{job.name}: {progress.rows:,} of {job.rows:,}, {spent if any(getattr(cost, name) for name in TOKENS) else ''}"
        f"started in {cost.start_seconds:.0f} s, at work for {cost.seconds:.0f} s"
    )


def print_plan(planned: Sequence[Planned]) -> None:
    """Show on the terminal what a run would ask, and what that should take."""
    table = Table("model work", "wanted", "answered", "to ask", "tokens in", "tokens out", "minutes", "GPU hours")
    for work in planned:
        about = "" if work.exact else "about "
        table.add_row(
            work.name,
            f"{about}{work.wanted:,}",
            f"{work.answered:,}",
            f"{about}{work.to_ask:,}",
            *(
                "unknown" if value is None else f"{mark}{value:{form}}"
                for value, form, mark in (
                    (work.input_tokens, ",d", "~" * work.estimated),
                    (work.output_tokens, ",d", "~" * work.estimated),
                    (None if work.seconds is None else work.seconds / 60, ",.1f", ""),
                    (work.gpu_hours, ",.2f", ""),
                )
            ),
        )
    console = terminal()
    console.print(table)
    if any(work.estimated for work in planned):
        console.print("~: some of them by an estimate, since the endpoint tells no tokens", soft_wrap=True)
    if any(work.input_tokens is None for work in planned):
        console.print(
            "unknown: this storage remembers no run of that work; a run with few prompts tells", soft_wrap=True
        )


def report_gate(version: str, outcome: GateOutcome) -> None:
    """Show every rule and what became of it."""
    rules = [
        {"suite": r.suite, "rule": r.rule, "severity": r.severity, "outcome": r.outcome, "rows": r.failing}
        for r in outcome.results
    ]
    rules.sort(key=lambda rule: rule["outcome"] == "passed")
    create_table_artifact(table=rules, key="gate", description=f"Release {version}: {describe(outcome)}")


def describe(outcome: GateOutcome) -> str:
    """The outcome in one line: what was broken, by rule, what refuses first."""
    broken = sorted((r for r in outcome.results if r.outcome != "passed"), key=lambda r: r.severity)
    rules = ", ".join(f"{r.suite}.{r.rule} {r.outcome} ({r.severity})" for r in broken)
    result = "passed" if outcome.passed else "refused"
    return f"{result}, {len(broken)} of {len(outcome.results)} rules broken" + (f": {rules}" if rules else "")


def report_release(release: Release, stages: Sequence[Stage]) -> None:
    """Show the whole run as one page."""
    page = markdown_table([counts(stage) for stage in stages])
    text = f"# Release {release.version}\n\n{quoted(release.said)}\n\n{quoted(release.uri)}\n\n{page}\n"
    text += f"\n{estimated}\n" if (estimated := untold(stages)) else ""
    if lacking := unanswered(release):
        text += f"\n## Requests without an answer\n\n{markdown_table(lacking)}\n"
    if failed := errors(stages):
        text += f"\n## What engines said instead of answers\n\n{markdown_table(failed)}\n"
    create_markdown_artifact(markdown=text, key="release", description=f"Release {release.version}")


def quoted(text: str) -> str:
    """What others wrote, for a page: as code, unless it is nothing but text in Markdown and HTML too."""
    return text if PLAIN.fullmatch(text) else "`" + re.sub("[`|]", " ", one_line(text)) + "`"


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same names as a table in Markdown; there is at least one."""
    cells = [map(quoted, row.values()) for row in rows]
    lines = [" | ".join(line) for line in (rows[0], ["---"] * len(rows[0]), *cells)]
    return "\n".join(f"| {line} |" for line in lines)


def print_summary(release: Release, stages: Sequence[Stage]) -> None:
    """Close a run on the terminal: stages, drops, the gate's outcome, where the release is, what to type next."""
    console = terminal()
    table = Table(*(name for name in counts(stages[0])), title="stages", title_justify="left")
    for stage in stages:
        table.add_row(*counts(stage).values())
    console.print(table)
    if estimated := untold(stages):
        console.print(estimated, soft_wrap=True)
    drops = Table("stage", "reason", "rows", title="left out", title_justify="left")
    for row in warehouse.rows("drops", {"dropped": [stage.dropped for stage in stages]}):
        drops.add_row(row["stage"], row["reason"], f"{row['rows']:,}")
    console.print(drops)
    if lacking := unanswered(release):
        shares = Table(*lacking[0], title="without an answer", title_justify="left")
        for row in lacking:
            shares.add_row(*row.values())
        console.print(shares)
    failed = Table("model work", "error", "requests", title="said instead of answers", title_justify="left")
    for row in errors(stages):
        failed.add_row(*row.values())
    if failed.row_count:
        console.print(failed)
    root = release.uri.rsplit("/releases/", 1)[0]
    console.print(f"gate      {release.said}", soft_wrap=True)
    console.print(f"release   {release.uri}", soft_wrap=True)
    readme, docs = (shlex.quote(storage.join(release.uri, file)) for file in ("README.md", "gate/docs/index.html"))
    console.print(f"next      make sql STORAGE={shlex.quote(root)}", soft_wrap=True)
    console.print(f"          less {readme}", soft_wrap=True)
    console.print(f"          python -m webbrowser {docs}", soft_wrap=True)


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
    warnings.filterwarnings("ignore", "Logger .* attempted to send logs")  # of what is told before a run has begun
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(OneLineErrors())
