"""Open a DuckDB shell on the releases of a storage.

In: the storage, a folder or an `s3://` prefix. Out: the `duckdb` shell with a view for every table of every release. The
views are made here of checked manifests; nothing that stands in the storage is run.
A bucket is read by DuckDB's own httpfs, with the credentials that stand in the environment; none of them is written.
Run as `python -m tasks.release.shell STORAGE`.
"""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from infra import leftovers, proxies, storage
from tasks.errors import SafePairsError, StorageError
from tasks.release.catalog import current_catalog

CREDENTIALS = """CREATE SECRET (
    TYPE s3, KEY_ID getenv('AWS_ACCESS_KEY_ID'), SECRET getenv('AWS_SECRET_ACCESS_KEY'),
    SESSION_TOKEN getenv('AWS_SESSION_TOKEN'), REGION coalesce(nullif(getenv('AWS_DEFAULT_REGION'), ''), 'us-east-1'),
    ENDPOINT coalesce(nullif(regexp_replace(getenv('AWS_ENDPOINT_URL'), '^https?://', ''), ''), 's3.amazonaws.com'),
    USE_SSL NOT starts_with(getenv('AWS_ENDPOINT_URL'), 'http://'), URL_STYLE 'path'
);
"""


def extension(name: str) -> Path:
    """Where the package `duckdb-extension-<name>` keeps the file that DuckDB loads."""
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"error: package duckdb-extension-{name} is not installed; run `make install`")
    return next(Path(spec.submodule_search_locations[0]).rglob(f"{name}.duckdb_extension"))


def main(root: str) -> None:
    """Start the shell; its exit code is ours."""
    if fault := storage.root_fault(root):
        sys.exit(f"error: {StorageError(f'{root}: {fault}')}")
    folder = storage.resolve(root)
    try:
        views = current_catalog(folder)
    except SafePairsError as error:
        sys.exit(f"error: {error}")
    if views is None:
        sys.exit(f"error: no release in {root}; run `make demo` or set STORAGE")
    remote = "://" in folder
    start = f"LOAD '{extension('httpfs')}';\n{CREDENTIALS}" if remote else ""
    with leftovers.folder() as scratch:
        spill = f"SET temp_directory = '{str(scratch / 'spill').replace(chr(39), chr(39) * 2)}';\n"
        init = scratch / "init.sql"
        init.write_text(f".bail off\n{spill}{start}{views}")  # a release that lacks a file leaves the others alone
        shell = os.path.join(os.path.dirname(sys.executable), "duckdb")
        environment = proxies.environment_for(os.environ.get("AWS_ENDPOINT_URL", ""))
        # Ctrl-C is the shell's, which ends a query by it. What is ignored here, and not handled, it would not hear.
        signal.signal(signal.SIGINT, lambda *_: None)
        started = subprocess.run(
            [shell, "-init", str(init)], cwd=None if remote else folder, env=environment, check=False
        )
        code = started.returncode
        sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1])
