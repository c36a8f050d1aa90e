"""Look at a whole storage, and say what in it is not as it was written.

In: a storage. Out: one line per fault; exit code 1 if there is one. Grain: one fault per file. The latest manifest is held
to the pointer, those of earlier releases to the latest one, files of releases to the digests of their manifests; tables are
read to their end, exports of people are held to their names. Run as `python -m tasks.release.verify STORAGE`.
"""

import hashlib
import logging
import sys
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from infra import storage
from infra.terminal import terminal
from tasks import warehouse
from tasks.errors import StorageError, one_line
from tasks.people.exports import exported
from tasks.release.manifest import NAME, PUBLISHED, lineage, misfits, newest_published, order, read_manifest, versions

logger = logging.getLogger(__name__)

FOLDERS = ("releases", "claims", "tables", "people")
"""A storage has one of them at least."""
MISSING = "was published and is missing; restore it, or delete its file in claims/ too"
Fault = tuple[str, str]
"""An address below the storage, and what is wrong there."""


def faults(root: str) -> Iterator[Fault]:
    """All faults of the storage at `root`; raises StorageError where it cannot be read."""
    yield from faults_of_releases(root)
    yield from faults_of_tables(root)
    yield from faults_of_people(root)


def faults_of_releases(root: str) -> Iterator[Fault]:
    """Broken pointers and manifests, releases that are gone or that nobody published, and files that are not as published."""
    there = versions(root)
    if not storage.exists(storage.join(root, "releases", "latest.json")) and (newest := newest_published(root)):
        yield "releases/latest.json", f"is missing; restore it: {newest.model_dump_json()}"
    try:
        known = lineage(root)
    except StorageError as error:
        yield "releases/latest.json", str(error)
        known = dict.fromkeys(there)
    published = known.keys() | claimed(root)
    for version in sorted(published - set(there), key=order):
        yield f"releases/{version}", MISSING
    for version in there:
        folder = storage.join(root, "releases", version)
        if version not in known:
            if storage.exists(storage.join(folder, NAME)):
                yield f"releases/{version}", "was never published, or latest.json was moved back; delete it if so"
            elif version in published:  # a store may keep an empty folder
                yield f"releases/{version}", MISSING
            continue
        try:
            files = read_manifest(folder, known[version])["files"]
        except StorageError as error:
            yield f"releases/{version}", str(error)
            continue
        logger.info("release %s: %d files", version, len(files))
        yield from ((f"releases/{version}", misfit) for misfit in misfits(folder, files))


def claimed(root: str) -> set[str]:
    """The versions whose claims say that they were published: they say it where releases and pointer are gone."""
    claims = [uri for uri in storage.listing(storage.join(root, "claims")) if not storage.is_unfinished(uri)]
    return {uri.rsplit("/", 1)[-1] for uri in claims if storage.read_bytes(uri) == PUBLISHED}


def faults_of_tables(root: str) -> Iterator[Fault]:
    """Tables that cannot be read to their end."""
    found = storage.listing(storage.join(root, "tables"), ".parquet")
    logger.info("%d tables", len(found))
    for uri in found:
        if not warehouse.is_whole(uri):
            yield uri.removeprefix(f"{root}/"), "cannot be read; delete it, the next run makes it again"


def faults_of_people(root: str) -> Iterator[Fault]:
    """Exports that are none, or are not what they were taken in as."""
    for uri in storage.listing(storage.join(root, "people"), ".json"):
        content, name = storage.read_bytes(uri), uri.rsplit("/", 1)[-1]
        if exported(content) is None:
            yield f"people/{name}", "is no export of Label Studio; restore it"
        elif len(name) == len(".json") + 64 and name != f"{hashlib.sha256(content).hexdigest()}.json":
            yield f"people/{name}", "was changed after it was taken in; restore it"


def main(address: str) -> None:
    """Print what does not fit; exit code 1 if anything does not, 2 if the storage cannot be read."""
    table = Table("where", "what does not fit")
    try:
        if fault := storage.root_fault(address):
            raise StorageError(f"{address}: {fault}")
        root = storage.resolve(address)
        with warehouse.reading(root):
            if not any(storage.exists(storage.join(root, folder)) for folder in FOLDERS):
                raise StorageError(f"{address}: is no storage; set STORAGE to one")
            for where, what in faults(root):
                table.add_row(Text(one_line(where)), Text(one_line(what)))
    except StorageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    terminal().print(table if table.row_count else f"{one_line(root)}: all is as it was written", soft_wrap=True)
    sys.exit(1 if table.row_count else 0)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main(sys.argv[1])
