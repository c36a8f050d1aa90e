"""Views over the releases of a storage, as SQL.

In: the manifests of all releases. Out: the text that makes a schema of views for each release, and views of the latest one
in the main schema. Grain: one view per release and table. The text is made of checked names alone, so that a shell may run
it; what stands as `catalog.sql` in a storage is for others and is never run here.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra import storage
from tasks import warehouse
from tasks.errors import StorageError, one_line
from tasks.release.candidate import ANNOTATIONS, BY_RESPONDER
from tasks.release.manifest import NAME, lineage, point, read_manifest, versions

logger = logging.getLogger(__name__)

DATASETS = ("prompts", *BY_RESPONDER)
WARNING = """-- Views over the releases. Start DuckDB in the storage folder: duckdb -init releases/catalog.sql
-- DuckDB's shell does whatever this file says, and whoever can write the storage can write it: run it only where you trust
-- them. `make sql` makes the same views itself and runs nothing of a storage.
"""


def current_catalog(root: str) -> str | None:
    """The catalog of a storage, made of its manifests; None before the first release.

    Raises:
        StorageError: the latest release's manifest is not the one that was published.
    """
    pointer = point(root)
    return catalog(root, pointer.version, lineage(root)) if pointer else None


def catalog(root: str, latest: str, known: Mapping[str, str | None]) -> str:
    """The views of all releases that are `known`, by version, to have manifests of these digests, and of the `latest`.

    Files are named one by one, so that a reader of a bucket lists nothing. What has another manifest has no views.
    """
    base = storage.join(root, "releases") if "://" in root else "releases"
    files = listed(root, known)
    lines = [views(f'"{version}"', f"{base}/{version}", paths) for version, paths in files.items()]
    return "\n".join([WARNING, *lines, views("main", f"{base}/{latest}", files[latest])])


def listed(root: str, known: Mapping[str, str | None]) -> dict[str, list[str]]:
    """The paths of the files of each release, by its version; what was not published, or is no longer that, is left out."""
    found: dict[str, list[str]] = {}
    for version in versions(root):
        folder = storage.join(root, "releases", version)
        try:
            if version in known:
                found[version] = [file["path"] for file in read_manifest(folder, known[version])["files"]]
            elif storage.exists(storage.join(folder, NAME)):
                logger.warning(
                    "%s: was never published, or latest.json was moved back; it has no views", one_line(folder)
                )
        except StorageError as error:
            logger.warning("%s; it has no views", error)
    return found


def views(schema: str, release: str, paths: Iterable[str]) -> str:
    """The views of one release, whose files have these paths in its folder: one of each table that they hold."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        folder, name = path.split("/", 1)[0], Path(path).stem
        if folder in DATASETS:
            found.setdefault(("dataset", folder), []).append(f"{release}/{path}")
        elif name.isidentifier() and (folder == "annotations" or path == ANNOTATIONS["dropped"]):
            view = f"annotated_{name}" if name in DATASETS else name
            found.setdefault(("annotation", view), []).append(f"{release}/{path}")
    lines = [f"CREATE SCHEMA IF NOT EXISTS {schema};\n"]
    for (kind, table), files in found.items():
        template = (Path(__file__).parent / "templates" / f"{kind}.sql").read_text()
        quoted = ["'" + file.replace("'", "''") + "'" for file in warehouse.literal(files)]
        lines.append(template.format(schema=schema, table=f'"{table}"', files=", ".join(quoted)))
    return "".join(lines)
