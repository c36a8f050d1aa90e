"""Look at everything that a run needs before it costs anything.

In: a configuration. Out: nothing, or the first fault as an error of one line.
"""

import glob
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow.parquet as pq

from infra import leftovers, lock, proxies, storage
from tasks import warehouse
from tasks.config import Config, Judge, Local, Responder
from tasks.engines import Example
from tasks.engines.chat import example
from tasks.errors import ConfigError, ModelError, StorageError, one_line
from tasks.judging.classifiers import CLASSIFIERS
from tasks.judging.rubric import rubrics
from tasks.plan import at_most
from tasks.prompts.sources import parse

ROOMS = ("releases", "candidates", "tables", "people", "review", "claims", "jobs")
"""The folders of a storage."""
LEAST_FREE = 20_000_000
"""Bytes on each disk of a storage without which no run starts. What one will write is known to nobody before."""
SIGNS = ("releases/latest.json", "tables/completions")
"""What stands in a storage, one or both, as soon as a run has been at work there."""
LARGEST_TABLE = 1_000_000_000
"""Rows: what no machine gets to the end of is refused before it is begun."""


def check(config: Config) -> None:
    """Find the models, have their templates write each kind of request, read the prompts, and try all that a run does on disk.

    Raises:
        ConfigError: a proxy or the temporary folder cannot be used; there is no rubric of a name; the numbers come to more
            requests or pairs than a run can hold.
        ModelError: a model folder, vLLM or an endpoint's key is missing; a chat template does not take what a run sends.
        SourceError: the prompts file is missing, empty, or has no column `prompt`.
        StorageError: the storage cannot be written, locked or published in, is full, or lies inside another one.
    """
    if fault := proxies.fault():
        raise ConfigError(fault)
    check_temporary()
    here = isinstance(config.cluster, Local)
    asked: list[Responder | Judge] = [*config.responders, *config.judges]
    for model in (config.diversity.embedder, *(entry.engine for entry in asked)):
        try:
            model.check(runs_here=here)
        except OSError as error:  # a name that is too long, a folder that may not be read
            raise ModelError(f"model {model.title}: {warehouse.reason(error)}; mend its path in the config") from None
    for judge in config.judges:
        rubrics(judge.rubrics)
    for entry in asked:
        entry.engine.check_requests(examples(entry), runs_here=here)
    check_size(config, parse(config)[0])
    root = storage.resolve(config.storage)
    if "\\" in root and glob.escape(root) != root:
        raise StorageError(
            f"storage {config.storage}: DuckDB cannot tell `\\` from `[`, `*` and `?` in one path; rename it"
        )
    if "://" not in root:
        check_surroundings(root)  # before a folder is made there
    with telling(f"storage {config.storage}: cannot be written"):
        storage.probe(root)
    if "://" in root:
        check_surroundings(root)  # a bucket that cannot be reached was told at once
    else:
        check_disk(root)


def check_temporary() -> None:
    """Raise ConfigError where a run has no place for short-lived files, or one whose name nobody can be told."""
    if not storage.is_unicode(home := os.environ.get("HOME", "")):  # of whom the gate's libraries ask DuckDB for
        raise ConfigError(f"HOME {one_line(home)}: its name is not in UTF-8; set HOME to a folder whose name is")
    try:
        if not storage.is_unicode(usual := tempfile.gettempdir()):
            raise ConfigError(
                f"temporary folder {one_line(usual)}: its name is not in UTF-8; set TMPDIR to another, such as /tmp"
            )
        for parent in (None, leftovers.temporary()):
            with leftovers.folder(parent):
                pass
    except OSError as error:
        raise ConfigError(
            f"temporary folder {error.filename or tempfile.tempdir}: cannot be written: {warehouse.reason(error)}; set TMPDIR to "
            f"one that can, which is /tmp, or has a path of at most {leftovers.LONGEST} characters"
        ) from None


def check_size(config: Config, sources: bytes) -> None:
    """Raise ConfigError where what is asked for comes to more rows of one table than a run can hold, if all prompts are kept."""
    prompts = pq.read_metadata(io.BytesIO(sources)).num_rows
    requests, pairs = at_most(config, prompts)
    for name, rows in {**requests, "pairs": pairs}.items():
        if rows > LARGEST_TABLE:
            raise ConfigError(
                f"{name}: {prompts:,} prompts come to {rows:,} of them, at most {LARGEST_TABLE:,} can be; lower the samples, "
                "alternatives or votes, or give fewer prompts"
            )


def examples(entry: Responder | Judge) -> list[Example]:
    """What stands for each kind of request that a responder or a judge is sent."""
    if isinstance(entry, Responder):
        return [example(entry.system, shows_answer=False)]
    if entry.format == "rubric":
        return [example(row["system"], shows_answer=False) for row in rubrics(entry.rubrics).to_pylist()]
    return [example(None, shows_answer=CLASSIFIERS[entry.format].message is None)]


def check_surroundings(root: str) -> None:
    """Raise StorageError if the storage lies inside another one, which would take what is written there for its own."""
    if outer := surrounding(root):
        raise StorageError(f"storage {root}: lies inside the storage {outer}; set one that stands beside it")


def surrounding(root: str) -> str | None:
    """The storage that has `root` in one of its folders, if there is one; one that may not be read is not looked at."""
    parts = root.split("/") if "://" in root else os.path.realpath(root).split("/")
    first = 3 if "://" in root else 1  # behind the bucket's name
    for at in (at for at, part in enumerate(parts) if part in ROOMS and at >= first):
        outer = "/".join(parts[:at]) or "/"
        with suppress(*storage.FAULTS):
            if any(storage.exists(storage.join(outer, sign)) for sign in SIGNS):
                return outer
    return None


def check_disk(root: str) -> None:
    """Raise StorageError if the storage on disk does not let a run do something that its last minute needs, by trying it.

    Folders of a storage may be links to other disks.
    """
    there = {name: storage.join(root, name) for name in ROOMS if os.path.lexists(storage.join(root, name))}
    for folder in (root, *there.values()):
        if not os.path.isdir(folder):
            raise StorageError(f"{folder}: is no folder, and no link to one; mend it or set another `storage`")
        with telling(f"{folder}: cannot be written"):
            storage.probe(folder)
            free = storage.free(folder)
        if free is not None and free < LEAST_FREE:
            raise StorageError(
                f"{folder}: {free / 1e6:.1f} MB are free on its disk, and a run needs at least {LEAST_FREE / 1e6:.0f} MB; "
                "free more or set another `storage`"
            )
    candidates, releases, claims = (there.get(name, root) for name in ("candidates", "releases", "claims"))
    unclaimed = telling(f"{claims}: no file can be made there for one run alone")
    with unclaimed, storage.tried_at(claims) as claim:
        storage.create(claim, b"")
    unmoved = telling(f"{root}: a folder cannot be moved from candidates to releases", "have both on one disk")
    with unmoved, storage.tried_at(candidates) as candidate, storage.tried_at(releases) as release:
        storage.write_bytes(storage.join(candidate, "last"), b"")
        storage.move_folder(candidate, release, last="last")
    check_lock(root)


def check_lock(root: str) -> None:
    """Raise StorageError if a run cannot lock the storage on disk, but for another one that holds it.

    The lock itself is left alone: a run that starts at this moment would find it held.
    """
    file = storage.join(root, ".lock")
    with telling(f"{file}: cannot be opened", "delete it if nobody is at work there"):
        if os.path.lexists(file):
            lock.opened(file).close()
    unlocked = telling(f"{root}: a file cannot be locked there (flock)", "mount it with locks")
    with unlocked, storage.tried_at(root) as probed, lock.flock(probed):
        pass


@contextmanager
def telling(fault: str, mend: str = "mend it") -> Iterator[None]:
    """Turn what the body finds wrong with a disk or a bucket into StorageError."""
    try:
        yield
    except (*storage.FAULTS, ValueError, ImportError) as error:
        raise StorageError(f"{fault}: {warehouse.reason(error)}; {mend} or set another `storage`") from None
