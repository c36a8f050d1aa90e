"""Look at a whole storage, and say what in it is not as it was written.

In: a storage. Out: one line per fault; exit code 1 if there is one. Grain: one fault per file. The latest manifest is held
to the pointer, those of earlier releases to the latest one, files of releases to the digests of their manifests; tables are
read to their end, exports of people are held to their names. Run as `python -m tasks.release.verify STORAGE`.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator

from rich.table import Table

from infra import storage
from infra.terminal import stops_in_one_line, terminal
from tasks import warehouse
from tasks.errors import StorageError
from tasks.people.exports import exported
from tasks.release.manifest import NAME, PUBLISHED, lineage, misfits, newest_published, order, read_manifest, versions

logger = logging.getLogger(__name__)

FOLDERS = ("releases", "claims", "tables", "people")
"""A storage has one of them at least."""
MISSING = "was published and is missing; restore it"
CLAIMED = f"{MISSING}, or delete its file in claims/ too"
"""Of one that no manifest names."""
Fault = tuple[str, str]
"""An address below the storage, and what is wrong there."""


def faults(root: str) -> Iterator[Fault]:
    """All faults of the storage at `root`; raises StorageError where it cannot be read."""
    yield from faults_of_releases(root)
    yield from faults_of_files(root, "tables", ".parquet", fault_of_table)
    yield from faults_of_files(root, "people", ".json", fault_of_export)


def faults_of_releases(root: str) -> Iterator[Fault]:
    """Broken pointers and manifests, releases that are gone or that nobody published, and files that are not as published."""
    claimed = set[str]()

    def look(uri: str) -> None:
        """A claim says that its release was published where the release is gone, and the pointer too."""
        if not storage.is_unfinished(uri) and storage.read_bytes(uri) == PUBLISHED:
            claimed.add(uri.rsplit("/", 1)[-1])

    yield from faults_of_files(root, "claims", "", look)
    there = versions(root)
    if not storage.exists(storage.join(root, "releases", "latest.json")) and (newest := newest_published(root)):
        yield "releases/latest.json", f"is missing; restore it: {newest.model_dump_json()}"
    try:
        known = lineage(root)
    except StorageError as error:
        yield "releases/latest.json", str(error)
        known = dict.fromkeys(there)
    missing = dict.fromkeys(claimed, CLAIMED) | dict.fromkeys(known, MISSING)
    for version in sorted(missing.keys() - set(there), key=order):
        yield f"releases/{version}", missing[version]
    for version in there:
        folder = storage.join(root, "releases", version)
        if version in known:
            yield from ((f"releases/{version}", what) for what in damage(folder, known[version]))
        elif storage.exists(storage.join(folder, NAME)):
            yield f"releases/{version}", "was never published, or latest.json was moved back; delete it if so"
        elif version in missing:  # a store may keep an empty folder
            yield f"releases/{version}", missing[version]


def damage(folder: str, sha256: str | None) -> Iterator[str]:
    """What in the folder of a release is not as it was published; `sha256` is that of its manifest, where it is known."""
    try:
        files = read_manifest(folder, sha256)["files"]
        logger.info("%s: %d files", folder, len(files))
        yield from misfits(folder, files)
    except StorageError as error:
        yield str(error)


def faults_of_files(root: str, folder: str, suffix: str, look: Callable[[str], str | None]) -> Iterator[Fault]:
    """What `look` says of the files below a folder of the storage; one that cannot be read is told and hides no other."""
    try:
        found = storage.listing(storage.join(root, folder), suffix)
    except OSError as error:
        yield folder, f"cannot be read ({warehouse.reason(error)}); mend it"
        return
    logger.info("%s: %d files", folder, len(found))
    for uri in found:
        try:
            fault = look(uri)
        except OSError as error:
            fault = f"cannot be read ({warehouse.reason(error)}); restore it"
        if fault:
            yield uri.removeprefix(f"{root}/"), fault


def fault_of_table(uri: str) -> str | None:
    """What is wrong with a table that cannot be read to its end."""
    return None if warehouse.is_whole(uri) else "cannot be read; delete it, the next run makes it again"


def fault_of_export(uri: str) -> str | None:
    """What is wrong with an export that is none, or is not what it was taken in as."""
    content, name = storage.read_bytes(uri), uri.rsplit("/", 1)[-1]
    if exported(content) is None:
        return "is no export of Label Studio; restore it"
    if len(name) == len(".json") + 64 and name != f"{hashlib.sha256(content).hexdigest()}.json":
        return "was changed after it was taken in; restore it"
    return None


@stops_in_one_line()
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
                table.add_row(where, what)
    except StorageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    terminal().print(table if table.row_count else f"{root}: all is as it was written", soft_wrap=True)
    sys.exit(1 if table.row_count else 0)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main(sys.argv[1])
