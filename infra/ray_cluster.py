"""Bring a Ray cluster up for the length of a block of work, and always tear it down.

In: how many CPUs. Out: a function that connects this process to the cluster, which starts when it is first called.
An already connected process is used as it is and left connected.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.data import DataContext

OBJECT_STORE_BYTES = 512 * 2**20


@contextmanager
def ray_cluster(cpus: int) -> Iterator[Callable[[], None]]:
    """Offer the body a local Ray cluster of `cpus` CPUs; its processes end with this one, even by `kill -9`."""
    was_connected = ray.is_initialized()

    def connect() -> None:
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Its C++ core writes past Python logging, and warns at every start of an actor that has arguments.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray.init(
            num_cpus=cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        DataContext.get_current().enable_progress_bars = False

    try:
        yield connect
    finally:
        if not was_connected:
            ray.shutdown()
