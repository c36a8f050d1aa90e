"""Run a command as a job of an existing Ray cluster, through its Jobs API.

In: the cluster's address, a name for the job, the command. Out: the job's output, line by line, while it runs.
A caller that lost its connection, or was killed, finds the same job again under its name.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import requests
from anyio.from_thread import start_blocking_portal
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

SECONDS_BETWEEN_TRIES = 2.0
SECONDS_TO_ANSWER = 30.0
MOST_TRIES = 30


class JobFailed(Exception):
    """The job ended without success, or its cluster is gone; says what was known."""


def run(address: str, name: str, command: str, say: Callable[[str], None]) -> None:
    """Submit `command` unless a job of this `name` is at work, pass every line it prints to `say`, wait for its end.

    Whatever `say` raises stops the job. Lines are passed again after a lost connection.

    Raises:
        JobFailed: the job failed or was stopped, or the cluster does not answer, or answers those who have no token.
    """
    try:
        try:
            check_token(address)
            client = JobSubmissionClient(address)
            job = find_or_submit(client, name, command)
        except (OSError, RuntimeError, AuthenticationError) as error:
            raise JobFailed(f"no Ray cluster takes jobs at {address}: {str(error).splitlines()[0]}") from None
        for line in output(client, job):
            say(line)
    except JobFailed:
        raise
    except BaseException:
        stop(address, name)
        raise
    status = client.get_job_status(job)
    if status != JobStatus.SUCCEEDED:
        raise JobFailed(client.get_job_info(job).message or f"the job ended as {status}")


def check_token(address: str) -> None:
    """Raise JobFailed where the cluster tells its jobs, and so takes some, to those who show no token."""
    # As Ray's own client asks, with the proxies and certificates that it goes by; what a proxy may answer instead is a page.
    reply = requests.get(f"{address.rstrip('/')}/api/jobs/", timeout=SECONDS_TO_ANSWER)
    if reply.ok and "json" in reply.headers.get("Content-Type", ""):
        raise JobFailed(
            f"the Ray cluster at {address} takes jobs from all who reach it: start all of it with RAY_AUTH_MODE=token, give "
            "this process its token in RAY_AUTH_TOKEN, and run again"
        )


def stop(address: str, name: str) -> None:
    """Stop what is at work under `name`, and wait until it is; where the cluster does not answer there is nothing to do."""
    with suppress(OSError, RuntimeError, AuthenticationError):
        client = JobSubmissionClient(address)
        for job, status in jobs_of(client, name).items():
            if not status.is_terminal():
                client.stop_job(job)
                for _ in range(MOST_TRIES):
                    if client.get_job_status(job).is_terminal():
                        break
                    time.sleep(SECONDS_BETWEEN_TRIES)


def jobs_of(client: JobSubmissionClient, name: str) -> dict[str, JobStatus]:
    """All jobs that were ever submitted under `name`, and how they stand."""
    jobs = ((str(job.submission_id or ""), job.status) for job in client.list_jobs())
    return {job: status for job, status in jobs if job.startswith(name)}


def find_or_submit(client: JobSubmissionClient, name: str, command: str) -> str:
    """The id of the job that is at work under `name`, or of a new one."""
    tried = jobs_of(client, name)
    for job, status in tried.items():
        if not status.is_terminal():
            return job
    submitted: str = client.submit_job(entrypoint=command, submission_id=f"{name}-{len(tried)}")
    return submitted


def output(client: JobSubmissionClient, job: str) -> Iterator[str]:
    """The lines that a job prints, until it ends; a connection that is lost is made again for a while."""
    lost = 0
    while lost < MOST_TRIES:
        try:
            for text in tail(client, job):
                yield from text.splitlines()
                lost = 0
            if client.get_job_status(job).is_terminal():
                return
        except (OSError, RuntimeError):
            lost += 1
        time.sleep(SECONDS_BETWEEN_TRIES)
    raise JobFailed(f"the connection to {client.get_address()} is lost; the job may go on, run again to find it")


def tail(client: JobSubmissionClient, job: str) -> Iterator[str]:
    """What the client's asynchronous tail gives, for callers that are not.

    Its event loop has a thread of its own: one that ran in the main thread could swallow what the handler of a signal raises
    there, such as Prefect's, which cancels a run.
    """
    texts = client.tail_job_logs(job)
    with start_blocking_portal() as portal:
        while (text := portal.call(anext, texts, None)) is not None:
            yield text
