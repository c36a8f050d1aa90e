"""Prefect task: a candidate that the gate has passed, and a person where one is asked, is published."""

from dataclasses import asdict

from prefect import task

from flows.preferences_to_candidate import Examined
from flows.running.reports import describe, report_release
from tasks.config import Config
from tasks.release.release import Decision, Release, publish
from tasks.tables import Stage


@task(persist_result=False)
def candidate_to_release(
    config: Config, examined: Examined | Release, decision: Decision | None, stages: list[Stage], root: str
) -> Release:
    """Publish, unless nothing has changed since the latest release."""
    if isinstance(examined, Release):
        release = examined
    else:
        verdict = {"said": describe(examined.outcome), **asdict(examined.outcome)}
        release = publish(config, examined.candidate, examined.files, verdict, decision, stages, root)
    report_release(release, stages)
    return release
