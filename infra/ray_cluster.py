"""Bring a Ray cluster up when work first needs one, and always tear it down.

In: how many CPUs. Out: a process that is connected to Ray. A process that was connected before is left connected. A cluster that
is started here listens on 127.0.0.1 alone, and to nobody without the token that this process makes and writes nowhere.
"""

import logging
import os
import secrets
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Lock

import psutil
import ray
from ray._private import auto_init_hook, ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # of C++
from ray.data import DataContext

from infra import leftovers

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 512 * 2**20
AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
CONNECTING = Lock()
"""Several jobs of one process may come for the cluster at once."""
ENDED = Event()
"""Whether the body that had the cluster is over: a thread of it that comes late gets none."""
UP = ExitStack()
"""What a cluster that this process started has while it is up: a folder, a token."""
PACKAGE = os.path.dirname(ray.__file__)
SECONDS_BETWEEN_KILLS = 0.5
SECONDS_TO_END = 2.0

# Else Ray starts a cluster of its own for a thread that goes on when ours is torn down.
auto_init_hook.enable_auto_connect = False
# Else its C++ core takes SIGTERM from the process that connects, and ends it with a stack.
ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True


class RunEnded(Exception):
    """The body that had the cluster is over."""


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Tear down, when the body ends, the cluster that `connect` started in it; `kill -9` ends its processes too.

    However the body ends, nothing of the cluster is at work behind it, though a thread may be about to start it.
    """
    was_connected = ray.is_initialized()
    ENDED.clear()
    try:
        yield
    finally:
        if not was_connected:
            tear_down()


def tear_down() -> None:
    """End the cluster, and what Ray leaves of one that was not whole yet."""
    ENDED.set()
    while not CONNECTING.acquire(timeout=SECONDS_BETWEEN_KILLS):
        end(processes_below(os.getpid()))  # without them a start fails soon
    try:
        started = processes_below(os.getpid())  # once a server has ended, those below it are not found any more
        ray.shutdown()
        end([*started, *processes_below(os.getpid())])
        UP.close()
    finally:
        CONNECTING.release()


def processes_below(pid: int) -> list[psutil.Process]:
    """The processes of Ray that a process started, and all below them: some servers start others, under any name."""
    found: set[psutil.Process] = set()
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if is_of_ray(child):
                found.update((child, *child.children(recursive=True)))
    return list(found)


def is_of_ray(process: psutil.Process) -> bool:
    """Whether a process is a server or a worker of Ray."""
    return any(word.startswith((f"{PACKAGE}/", "ray::")) for word in process.cmdline()[:3])


def end(started: list[psutil.Process]) -> None:
    """Kill processes."""
    for process in started:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(started, SECONDS_TO_END)


def connect(cpus: int) -> None:
    """Start a local Ray cluster of `cpus` CPUs and connect to it, unless this process is connected already.

    Raises:
        RunEnded: it is too late.
    """
    with CONNECTING:
        if not ray.is_initialized():
            check_going_on()
            start(cpus)
            check_going_on()


def check_going_on() -> None:
    """Raise RunEnded where nobody is to have a cluster any more."""
    if ENDED.is_set():
        raise RunEnded


def start(cpus: int) -> None:
    """Start a local cluster, quietly; a start that fails, as on a machine that is too busy for a while, is tried once more."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its C++ core writes past Python logging, and warns at every start of an actor that has arguments.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        begin(cpus)
    except Exception as error:  # noqa: BLE001 (what Ray raises where a node is not there within 30 s is no kind of its own)
        check_going_on()
        logger.warning("Ray did not start, and is started once more: %s", " ".join(str(error).split()))
        ray.shutdown()
        begin(cpus)
    be_quiet()


def begin(cpus: int) -> None:
    """Have Ray start a local cluster; it takes SIGTERM in the main thread, which is given back."""
    folder = UP.enter_context(leftovers.folder(leftovers.temporary()))
    UP.enter_context(token())
    # What Ray does on systems where it makes no clusters of machines: else all its servers listen on all interfaces.
    ray_constants.ENABLE_RAY_CLUSTER = False
    taken = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder / "r"),  # Ray lets everybody into it
        )
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, taken)


@contextmanager
def token() -> Iterator[None]:
    """Have a cluster that is started meanwhile ask for a token that only this process and those that it starts know."""
    before = {name: os.environ.pop(name, None) for name in AUTHENTICATION}  # without a mode Ray asks for the token
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        AuthenticationTokenLoader.instance().reset_cache()


def attach() -> None:
    """Connect to the cluster that this process was started on."""
    if not ray.is_initialized():
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    be_quiet()


def be_quiet() -> None:
    """Leave progress to those who know what is being done."""
    # What it logs of a fault comes back as an exception too, which we put into one line.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # Until Ray 2.64 it is the only way to limit the restarts of an engine.
    warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # Else a fault of ours would come back as Ray's own, without its kind.
    context.raise_original_map_exception = True
