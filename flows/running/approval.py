"""The human gate: before a release is published, a person says in the Prefect UI whether it may be.

In: a candidate that the rules have passed. Out: the person's approval, for the manifest; a rejection ends the run, and so
does time. What the person sees is an artifact of counts; prompts and answers are in it only where the configuration
says so.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from prefect.artifacts import create_markdown_artifact
from prefect.input import RunInput, delete_flow_run_input, filter_flow_run_input
from pydantic import ConfigDict, Field, ValidationError
from pydantic.config import JsonDict

from flows.preferences_to_candidate import Examined
from flows.running.reports import describe, markdown_table, quoted
from flows.running.waiting import can_wait, fired, suspend
from tasks.config import Approval, Config
from tasks.errors import NotApproved, one_line
from tasks.identity import digest
from tasks.release.changes import changed_agreement, changed_rows, samples
from tasks.release.manifest import published
from tasks.release.release import Decision, Release, hold_to

COLUMNS, LINES_OF_A_SAMPLE = 96, 8
REASONED: JsonDict = {
    "if": {"required": ["decision"], "properties": {"decision": {"const": "reject"}}},
    "then": {"required": ["reason"], "properties": {"reason": {"pattern": r"\S"}}},
}
"""Of a rejection the server asks the reason before it resumes the run."""


class Form(RunInput):
    """What the person fills in."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=REASONED)

    decision: Literal["approve", "reject"] = Field(description="`approve` publishes, `reject` publishes nothing")
    name: str = Field(description="Who decides", min_length=1, max_length=100, pattern=r"\S")
    reason: str = Field(
        "", description="Needed to reject; without it the form is not taken and stays open", max_length=1000
    )


def ask_for_approval(config: Config, examined: Examined | Release, root: str) -> Decision | None:
    """The approval of a person; None where none is asked for, or nothing is new.

    The first execution of a run suspends it here. The one that follows, when the run is resumed, finds the answer.

    Raises:
        NotApproved: the person rejected, or this run cannot wait for one.
        StorageError: a file was changed while the page was made, which may show it.
    """
    if config.approval is None or isinstance(examined, Release):
        return None
    candidate = examined.candidate
    release = f"release {candidate.version} of {config.name}"
    kept = f"nothing is published, the candidate is kept in {candidate.uri}"
    if not can_wait():
        raise NotApproved(f"{release} needs approval: {kept}; run it as a deployment, with `make serve`, to be asked")
    shown = [[file["path"], file["sha256"]] for file in examined.files]
    key = digest(candidate.fingerprint, examined.parent, shown, asdict(examined.outcome))
    decision = answer(key)
    if decision is not None and decision.decision == "approve":
        return decision
    if decision is not None and fired(key):
        raise NotApproved(
            f"{release} was rejected by {decision.name}: {decision.reason}; {kept}: mend the cause and run again"
        )
    forget(key)
    page = describe_candidate(config, config.approval, examined, root)
    hold_to(candidate.uri, examined.files)
    create_markdown_artifact(
        markdown=page,
        key="approval",
        description=f"Release {candidate.version} needs approval",
    )
    suspend(key, config.approval.timeout_hours, f"approval of {release}", Form)
    return answer(key)


def answer(key: str) -> Decision | None:
    """What a person answered under `key` in this run, and when.

    Raises:
        NotApproved: it is no answer to the form.
    """
    found: Any = filter_flow_run_input(f"suspended-{key}-response")  # typed for asynchronous callers too
    if not found:
        return None
    try:
        form = Form.model_validate(found[0].decoded_value)
    except ValidationError as error:
        forget(key)
        message = error.errors()[0]["msg"]
        raise NotApproved(f"the form was not filled in ({message}), nothing is published; retry the run") from None
    time = (found[0].created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    return Decision(form.decision, one_line(form.name), one_line(form.reason), time)


def forget(key: str) -> None:
    """Remove the form and the answer of a run that is retried: Prefect would not take them twice."""
    found: Any = filter_flow_run_input(f"suspended-{key}-", limit=10)
    for entry in found:
        delete_flow_run_input(entry.key)


def describe_candidate(config: Config, approval: Approval, examined: Examined, root: str) -> str:
    """The page for the person: what would change, how sure it is, what the gate warns of."""
    candidate, latest = examined.candidate, published(root)
    warnings = [
        f"- `{r.suite}.{r.rule}`: {'' if r.failing is None else f'{r.failing:,} rows. '}{quoted(r.said)}"
        for r in examined.outcome.results
        if r.outcome != "passed"
    ]
    shown = samples(candidate, approval.samples) if approval.samples else []
    sections = [
        f"# Release {candidate.version} of `{config.name}` needs approval",
        "Resume this run to approve or reject it.",
        f"## Rows, beside {latest['version'] if latest else 'no release before'}",
        markdown_table(changed_rows(candidate, latest)),
        "## Agreement",
        markdown_table(changed_agreement(candidate, latest, root)),
        "## Gate",
        describe(examined.outcome).split(":", 1)[0],
        "\n".join(warnings),
        "## Samples",
        *([show(row) for row in shown] or ["Prompts and answers are withheld."]),
        f"The candidate is in `{candidate.uri}`.",
    ]
    return "\n\n".join(section for section in sections if section)


def show(row: Mapping[str, Any]) -> str:
    """A row as a block of code, in which neither Markdown nor HTML does anything: no line of it can be a fence."""
    lines = [line for name, value in row.items() for line in wrap(f"{name}: {one_line(str(value))}")]
    return "\n".join(["```text", *lines, "```"])


def wrap(text: str) -> list[str]:
    """The first lines of a text, for a page; what follows the first is indented too far to be a fence."""
    return textwrap.wrap(
        text, COLUMNS, subsequent_indent=" " * 8, max_lines=LINES_OF_A_SAMPLE, placeholder=" …", break_on_hyphens=False
    )
