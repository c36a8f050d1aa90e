"""Say which files hold the prompts of a configuration.

In: the section `[prompts]`, and the storage that earlier releases stand in. Out: `Origin`s, in their order. Grain: one per
source. What a dataset or a release says of its files is not taken for more than it is: a dataset's stand in its own
folder, a release's are as they were published.
"""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from infra import storage
from tasks import warehouse
from tasks.config import Config, DatasetSource, FileSource, ReleaseSource
from tasks.errors import SourceError
from tasks.release.manifest import lineage, misfits, read_manifest

SPLITS = ("train", "test")


class Origin(NamedTuple):
    """Addresses of files, and the name of the prompts in them; without one each row says its own source."""

    name: str | None
    files: tuple[str, ...]


def origins(config: Config) -> list[Origin]:
    """All sources of prompts of a configuration: those that give all before those of which so many are taken.

    So no copy of a prompt is left out for one that is not taken.

    Raises:
        SourceError: a dataset has no such files, or there is no release of that version.
        StorageError: a release is not as it was published.
    """
    if config.prompts.source is not None:
        return [Origin(None, (config.prompts.source,))]
    sources = sorted(config.prompts.sources, key=lambda source: source.count is not None or source.share is not None)
    return [Origin(source.name, files(source, config.storage)) for source in sources]


def files(source: FileSource | DatasetSource | ReleaseSource, here: str) -> tuple[str, ...]:
    """The files of one source; earlier releases stand in the storage `here`, if the source names no other."""
    match source:
        case FileSource():
            return (source.file,)
        case DatasetSource():
            return files_of_dataset(source)
        case ReleaseSource():
            return files_of_release(source, storage.resolve(source.storage or here))


def files_of_dataset(source: DatasetSource) -> tuple[str, ...]:
    """The files of a split of a folder in the layout of Hugging Face: as its README says, or by their names."""
    from datasets.data_files import DataFilesDict, get_data_patterns, sanitize_patterns  # noqa: PLC0415 (a second)

    folder = storage.resolve(source.folder)
    with telling(source):
        said = what_readme_says(folder, source)
        place = glob.escape(folder)  # `datasets` takes it for a pattern
        base = storage.join(place, said["data_dir"]) if said.get("data_dir") else place
        patterns = sanitize_patterns(said["data_files"]) if "data_files" in said else get_data_patterns(base)
        if source.split not in patterns:
            raise SourceError(
                f"{source.name}: {storage.shown(folder)} has no split {source.split}; its splits are "
                f"{', '.join(map(str, patterns))}"
            )
        found = DataFilesDict.from_patterns({source.split: patterns[source.split]}, base_path=base)
    files = [str(file) for file in found[source.split]]
    for file in files:
        if not storage.below(file, folder):
            raise SourceError(
                f"{source.name}: {storage.shown(folder)} names a file outside; give a dataset that holds its files"
            )
    return tuple(files)


def what_readme_says(folder: str, source: DatasetSource) -> dict[str, Any]:
    """What the README of a dataset says of the files of one of its subsets; nothing where it has none."""
    from datasets.utils.metadata import MetadataConfigs  # noqa: PLC0415 (a second)
    from huggingface_hub import DatasetCard  # noqa: PLC0415 (a second)

    uri = storage.join(folder, "README.md")
    subsets: dict[str, dict[str, Any]] = {}
    if storage.exists(uri):
        card = DatasetCard(storage.read_bytes(uri).decode(), ignore_metadata_errors=True)
        subsets = dict(MetadataConfigs.from_dataset_card_data(card.data))
    if source.subset is not None and source.subset not in subsets:
        raise SourceError(
            f"{source.name}: {storage.shown(folder)} has no subset {source.subset}"
            + (f"; its subsets are {', '.join(subsets)}" if subsets else "; leave the key out")
        )
    if source.subset is None and len(subsets) > 1:
        defaults = [name for name, said in subsets.items() if said.get("default") or name == "default"]
        if not defaults:
            raise SourceError(
                f"{source.name}: {storage.shown(folder)} has several subsets; name one of {', '.join(subsets)}"
            )
        return subsets[defaults[0]]
    return subsets[source.subset or next(iter(subsets))] if subsets else {}


def files_of_release(source: ReleaseSource, root: str) -> tuple[str, ...]:
    """The files that hold the prompts of a release that was published in the storage `root`."""
    known = lineage(root)
    if source.version not in known:
        told = f"; its releases are {', '.join(known)}" if known else ""
        raise SourceError(f"{source.name}: {storage.shown(root)} has no release {source.version}{told}")
    folder = storage.join(root, "releases", source.version)
    listed = {file["path"]: file for file in read_manifest(folder, known[source.version])["files"]}
    paths = [path for split in SPLITS if (path := f"prompts/{split}.parquet") in listed and listed[path]["rows"]]
    for what in misfits(folder, listed.values(), among=paths):
        raise SourceError(f"{source.name}: release {source.version}: {what}; `make verify` tells more")
    return tuple(storage.join(folder, path) for path in paths)


@contextmanager
def telling(source: DatasetSource) -> Iterator[None]:
    """Turn what goes wrong while a dataset is looked at into SourceError."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 (each file system has errors of its own, and so have READMEs)
        cause = storage.shown(source.folder, warehouse.reason(error))
        raise SourceError(
            f"{source.name}: {storage.shown(source.folder)}: cannot be read: {cause}; give the folder of a dataset"
        ) from None
