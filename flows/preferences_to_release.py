"""Prefect task: all tables become a candidate, the gate judges it, and a clean one is published."""

from dataclasses import asdict

from prefect import task

from flows.reports import describe, report_gate, report_release
from tasks import warehouse
from tasks.candidate import release_fingerprint, write_candidate
from tasks.config import Config
from tasks.errors import GateRefused
from tasks.release import Release, next_version, publish, unchanged
from tasks.tables import Stage


@task(persist_result=True)
def preferences_to_release(config: Config, stages: list[Stage], root: str) -> Release:
    """Write, audit, publish. Raises GateRefused, with nothing published and the candidate left for inspection."""
    fingerprint = release_fingerprint(config, stages)
    release = unchanged(fingerprint, root)
    if release is None:
        from expectations.gate import judge  # noqa: PLC0415 (seconds, which a run that changes nothing need not wait)

        candidate = write_candidate(config, stages, next_version(root, fingerprint), fingerprint, root)
        with warehouse.writing(candidate.uri):
            verdict = judge(candidate.uri, candidate.files)
        report_gate(candidate.version, verdict)
        if not verdict.passed:
            raise GateRefused(
                f"release {candidate.version} {describe(verdict)}; the candidate is in {candidate.uri}, "
                "its failing rows in gate/failing: mend the cause and run again"
            )
        release = publish(config, candidate, {"said": describe(verdict), **asdict(verdict)}, stages, root)
    report_release(release, stages)
    return release
