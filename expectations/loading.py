"""Load a release as its readers do: what its card promises with `datasets`, what its catalog promises with DuckDB.

In: the folder of a candidate on this machine, and the catalog's text. Out: rows of `LOADED`. Grain: one row per config and
split of the card, and one per view and split of the catalog; `error` is what the reader said where it could not load.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import duckdb

from infra import leftovers
from tasks import warehouse
from tasks.release.catalog import DATASETS
from tasks.tables import FLAG, INTEGER, TEXT, columns

LOADED = columns(reader=TEXT, name=TEXT, split=TEXT, rows=INTEGER, error=TEXT, in_place=FLAG)
LONGEST = 200
"""Characters of what a reader said."""
Row = dict[str, Any]


def load_all(folder: str, catalog: str) -> list[Row]:
    """All that the readers of the release in `folder` find.

    `datasets` takes a path for a pattern. Where the release loads from a folder of links with a plain name and not from
    where it stands, the path is at fault and not the release.
    """
    with leftovers.folder() as scratch:
        here = list(load_card(folder, f"{scratch}/cache"))
        found, in_place = here, True
        if any(row["error"] for row in here):
            elsewhere = list(load_card(linked(folder, f"{scratch}/release"), f"{scratch}/other"))
            if not any(row["error"] for row in elsewhere):
                found, in_place = elsewhere, False
    return [
        *({"reader": "datasets", "in_place": in_place, **row} for row in found),
        *({"reader": "catalog", "in_place": True, **row} for row in query_catalog(catalog)),
    ]


def linked(folder: str, target: str) -> str:
    """A new folder with links to all that `folder` holds."""
    os.mkdir(target)
    for path in Path(folder).iterdir():
        os.symlink(path, f"{target}/{path.name}")
    return target


def load_card(folder: str, cache: str) -> Iterator[Row]:
    """Each config and split of the card with the rows that `datasets` gives, or with what it said instead."""
    import datasets  # noqa: PLC0415 (a second, which only the gate need wait)

    datasets.disable_progress_bars()
    try:
        names = datasets.get_dataset_config_names(folder)
    except Exception as error:  # noqa: BLE001 (whatever it raises is what the reader meets)
        yield unread("", "", error)
        return
    for name in names:
        with tempfile.TemporaryDirectory(prefix=Path(cache).name, dir=Path(cache).parent) as scratch:
            try:
                builder = datasets.load_dataset_builder(folder, name, cache_dir=scratch)
            except Exception as error:  # noqa: BLE001 (as above)
                yield unread(name, "", error)
                continue
            for split in builder.config.data_files:
                try:
                    # What `load_dataset` does, which looks for the files again each time.
                    builder.download_and_prepare()
                    rows = builder.as_dataset(split).num_rows
                except Exception as error:  # noqa: BLE001 (as above)
                    yield unread(name, split, error)
                else:
                    yield {"name": name, "split": split, "rows": rows, "error": None}


def query_catalog(catalog: str) -> Iterator[Row]:
    """Each view of the catalog, by split where it is a dataset, with its rows in a DuckDB that has seen nothing else."""
    with warehouse.in_memory() as connection, warehouse.stopping(connection):
        try:
            connection.execute(catalog)
            views = connection.execute(
                "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
            ).fetchall()
        except duckdb.Error as error:
            yield unread("", "", error)
            return
        for (name,) in views:
            try:
                view = connection.table(name)
                split = "split" if name in DATASETS else "''"
                counted = view.aggregate(
                    f"{split} AS split, count(*) AS rows", "" if split == "''" else split
                ).fetchall()
            except duckdb.Error as error:
                yield unread(name, "", error)
            else:
                yield from ({"name": name, "split": part, "rows": rows, "error": None} for part, rows in counted)


def unread(name: str, split: str, error: Exception) -> Row:
    """What could not be loaded, with the first line of what the reader said, cut short."""
    cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
    message = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return {"name": name, "split": split, "rows": None, "error": message[:LONGEST] + cause}
