"""Prefect task: all tables become a candidate, which the gate judges."""

from dataclasses import dataclass

from prefect import task

from expectations.outcome import GateOutcome, why_refused
from flows.running.caching import kept
from flows.running.reports import describe, report_gate
from tasks import warehouse
from tasks.config import Config
from tasks.errors import GateRefused
from tasks.release.candidate import Candidate, describe_files, release_fingerprint, write_candidate
from tasks.release.manifest import File, Version, misfits, published
from tasks.release.release import Release, discard_equal, next_version, unchanged
from tasks.tables import Stage


@dataclass(frozen=True)
class Examined:
    """A candidate that the gate has passed, what it said, and the release that was the latest one when it was examined.

    `files` are all that the candidate held then, with their digests: the gate's own among them.
    """

    candidate: Candidate
    files: tuple[File, ...]
    outcome: GateOutcome
    parent: Version | None


@task(persist_result=False, name="preferences_to_candidate")
@kept()
def write_and_examine(config: Config, stages: list[Stage], parent: str | None, root: str) -> Examined | Release:
    """Write and audit. Raises GateRefused, with the candidate left for inspection."""
    fingerprint = release_fingerprint(config, stages)
    release = unchanged(fingerprint, root)
    if release is not None:
        return release
    from expectations.gate import examine  # noqa: PLC0415 (seconds, which a run that changes nothing need not wait)

    candidate = write_candidate(config, stages, next_version(root, fingerprint), fingerprint, root)
    with warehouse.writing(candidate.uri):
        outcome = examine(candidate.uri, candidate.files, config.gate)
        files = (*candidate.files, *describe_files(candidate.uri, "gate"))
    report_gate(candidate.version, outcome)
    if not outcome.passed:
        raise GateRefused(
            f"release {candidate.version} {describe(outcome)}; {why_refused(outcome)}; the candidate is in "
            f"{candidate.uri}, its failing rows in gate/failing: mend the cause and run again"
        )
    return discard_equal(candidate, root) or Examined(candidate, files, outcome, parent)


def preferences_to_candidate(config: Config, stages: list[Stage], root: str) -> Examined | Release:
    """An examined candidate, or the latest release where nothing has changed since.

    While a run waits for people, others work on its storage: what it examined is examined again where another run has
    published since, or somebody has changed a file of the candidate.
    """
    latest = published(root)
    parent = latest["version"] if latest else None
    examined = write_and_examine(config, stages, parent, root)
    if isinstance(examined, Examined) and any(misfits(examined.candidate.uri, examined.files)):
        examined = write_and_examine.with_options(refresh_cache=True)(config, stages, parent, root)
    return examined
