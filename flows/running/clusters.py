"""Where jobs run: on a Ray cluster that this process starts, on one that exists, or on one made by KubeRay.

In: the configuration. Out: the function that runs a job, with what all jobs of a run share: how many run at once, and
the budget. Grain: one function per run.
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from threading import Condition, Event, Semaphore

from botocore.exceptions import BotoCoreError
from prefect.exceptions import PrefectSignal

from flows.running.reports import show_progress
from infra import lock, ray_cluster, ray_jobs, storage
from tasks import warehouse
from tasks.config import Attach, Budget, Cluster, Config, KubeRay, Local
from tasks.errors import BudgetSpent, ModelError, StorageError
from tasks.tables import Cost
from tasks.work.job import Job, Progress, RunJob, Tell, read_line

SECONDS_BETWEEN_STOPS = 2.0


@contextmanager
def alone(root: str) -> Iterator[Callable[[], None]]:
    """Hold the storage at `root` while the body runs; raises StorageError where another run is at work on it.

    Gives a check that raises StorageError once another run has taken the storage over. A body that is told to stop may leave
    threads at work: then the storage is held until the process ends.
    """
    try:
        with ExitStack() as hold:
            try:
                still_held = hold.enter_context(lock.exclusive(root))
            except storage.FAULTS as error:
                raise StorageError(
                    f"storage {root}: cannot be held for one run alone: {warehouse.reason(error)}; "
                    "mend it or set another `storage`"
                ) from None

            def check() -> None:
                if not still_held():
                    raise StorageError(
                        f"storage {root}: another run took it over, since this one did not reach it for a while; "
                        "what is answered is kept, run again after the other's end"
                    )

            try:
                yield check
            except (Exception, PrefectSignal):
                raise
            except BaseException:
                lock.UNTIL_THE_END.push(hold.pop_all())
                raise
    except lock.Held as held:
        raise StorageError(
            f"storage {root}: another run is at work on it, {held}; wait for its end, then run again"
        ) from None
    except BotoCoreError as error:
        raise StorageError(f"storage {root}: {error}; mend it and run again") from None


@contextmanager
def job_runner(config: Config, root: str, check_alone: Callable[[], None]) -> Iterator[RunJob]:
    """Give the function that runs one job of this run; `root` is the storage, where jobs are handed over.

    `check_alone` is called after each block, and stops the run by what it raises. The budget is looked at then, too, and
    before a job starts.

    What ends the body early, a cancellation for one, stops the jobs that are still at work, and waits until none is: they are
    followed by threads, which hear of it only by that. None is started any more. The function raises what `Job.run` raises, and
    BudgetSpent.
    """
    slots = Semaphore(config.cluster.jobs)
    spent: dict[str, Cost] = {}
    at_work: list[Job] = []
    changed, ended = Condition(), Event()

    def check_going_on(job: Job) -> None:
        if ended.is_set():
            raise ModelError(f"{job.name}: its run has ended; what is answered is kept, run again") from None

    @contextmanager
    def working(job: Job) -> Iterator[None]:
        with changed:
            check_going_on(job)
            at_work.append(job)
        try:
            yield
        except Exception:
            check_going_on(job)
            raise
        finally:
            with changed:
                at_work.remove(job)
                changed.notify_all()

    def run(job: Job, tell: Tell) -> None:
        show = show_progress(job)

        def told(progress: Progress) -> None:
            spent[job.id] = progress.cost
            tell(progress)
            show(progress)
            check_going_on(job)
            check_alone()
            keep_to(config.budget, sum(spent.values(), Cost()), job.name)

        with slots:
            keep_to(config.budget, sum(spent.values(), Cost()), job.name)
            with working(job):
                place(config.cluster, job, root, told)

    try:
        yield run
    finally:
        with changed:
            ended.set()
        while at_work:
            for job in list(at_work):
                stop(config.cluster, job)
            with changed:
                changed.wait_for(lambda: not at_work, SECONDS_BETWEEN_STOPS)


def keep_to(budget: Budget, spent: Cost, name: str) -> None:
    """Raise BudgetSpent as soon as the run has used its budget."""
    tokens, hours = spent.tokens, spent.gpu_seconds / 3600
    estimated = spent.estimated_input_tokens + spent.estimated_output_tokens
    untold = f" ({estimated:,} of them estimated by their texts, which the endpoint did not tell)" if estimated else ""
    kept = f"stopped at {name}; what is answered is kept: run again to go on with a new budget, or raise it"
    if budget.max_tokens is not None and tokens >= budget.max_tokens:
        raise BudgetSpent(f"{tokens:,} tokens asked{untold}, max_tokens is {budget.max_tokens:,}: {kept}")
    if budget.max_gpu_hours is not None and hours >= budget.max_gpu_hours:
        raise BudgetSpent(f"{hours:.2f} GPU hours held, max_gpu_hours is {budget.max_gpu_hours:g}: {kept}")


def place(cluster: Cluster, job: Job, root: str, tell: Tell) -> None:
    """Run the job where the configuration says."""
    match cluster:
        case Local(cpus=cpus):
            ray_cluster.connect(cpus)
            job.run(tell)
        case Attach():
            on_existing_cluster(cluster, job, hand_over(job, root), hear(tell))
        case KubeRay():
            on_kubernetes(cluster, job, hand_over(job, root), hear(tell))


def stop(cluster: Cluster, job: Job) -> None:
    """End a job on another machine; one on this machine ends with the cluster of this process."""
    match cluster:
        case Attach(address=address):
            ray_jobs.stop(address, job_name(job))
        case KubeRay(namespace=namespace):
            from infra import kuberay  # noqa: PLC0415

            kuberay.delete(namespace, job_name(job))


def hand_over(job: Job, root: str) -> list[str]:
    """Put the job where its cluster finds it, under the digest of its file; the command that runs it there."""
    content = job.model_dump_json().encode()
    address = storage.join(root, "jobs", f"{sha256(content).hexdigest()}.json")
    with warehouse.writing(address):
        storage.write_bytes(address, content)
    return ["python", "-m", type(job).__module__, address]


def on_existing_cluster(cluster: Attach, job: Job, command: list[str], say: Callable[[str], None]) -> None:
    """Run the command through the Jobs API."""
    try:
        ray_jobs.run(cluster.address, job_name(job), shlex.join(command), say)
    except ray_jobs.JobFailed as error:
        raise stopped(job, error) from None


def on_kubernetes(cluster: KubeRay, job: Job, command: list[str], say: Callable[[str], None]) -> None:
    """Run the command as a RayJob."""
    from infra import kuberay  # noqa: PLC0415 (its client takes a second to import)

    try:
        kuberay.run(manifest(cluster, job, command), say)
    except kuberay.RayJobError as error:
        raise stopped(job, error) from None


def job_name(job: Job) -> str:
    """The name under which a worker finds its job again."""
    return f"safepairs-{job.id}"


def stopped(job: Job, error: Exception) -> ModelError:
    """What a user is told of a job that failed on its cluster: its last words."""
    words = str(error).strip().splitlines()[-1]
    return ModelError(f"{job.name}: {words}; what is answered is kept, run again")


def hear(tell: Tell) -> Callable[[str], None]:
    """Pass on what a job prints of its progress; what else it prints stays on its cluster."""

    def say(line: str) -> None:
        progress = read_line(line)
        if progress:
            tell(progress)

    return say


def manifest(cluster: KubeRay, job: Job, command: list[str]) -> dict[str, object]:
    """A RayJob with the workers of the job, and an equal share of its GPUs in each."""
    from infra import kuberay  # noqa: PLC0415

    return kuberay.rayjob(
        job_name(job),
        namespace=cluster.namespace,
        image=cluster.image,
        entrypoint=command,
        workers=job.workers,
        cpus=cluster.cpus,
        gpus=job.gpus // job.workers,
        memory=cluster.memory,
        secret=cluster.secret,
    )
