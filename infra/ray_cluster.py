"""Bring a Ray cluster up when work first needs one, and always tear it down.

In: how many CPUs. Out: a process that is connected to Ray. A process that was connected before is left connected.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import ray
from ray.data import DataContext

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 512 * 2**20
CONNECTING = Lock()
"""Several jobs of one process may come for the cluster at once."""


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Tear down, when the body ends, the cluster that `connect` started in it; `kill -9` ends its processes too."""
    was_connected = ray.is_initialized()
    try:
        yield
    finally:
        if not was_connected:
            ray.shutdown()


def connect(cpus: int) -> None:
    """Start a local Ray cluster of `cpus` CPUs and connect to it, unless this process is connected already."""
    with CONNECTING:
        if not ray.is_initialized():
            start(cpus)


def start(cpus: int) -> None:
    """Start a local cluster, quietly; a start that fails, as on a machine that is too busy for a while, is tried once more."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its C++ core writes past Python logging, and warns at every start of an actor that has arguments.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        begin(cpus)
    except Exception as error:  # noqa: BLE001 (what Ray raises where a node is not there within 30 s is no kind of its own)
        logger.warning("Ray did not start, and is started once more: %s", " ".join(str(error).split()))
        ray.shutdown()
        begin(cpus)
    be_quiet()


def begin(cpus: int) -> None:
    """Have Ray start a local cluster."""
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


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
