"""Say what a candidate would change, for the person who approves it.

In: a candidate, and the manifest of the latest release or None. Out: rows of text, and samples as they are.
Grain: one row per dataset and split; one per question that votes settled; one per pair that is shown.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from tasks import warehouse
from tasks.errors import StorageError
from tasks.release.candidate import ANNOTATIONS, BY_RESPONDER, SPLITS, Candidate
from tasks.release.manifest import misfits
from tasks.tables import Ref

NONE = "-"
OUTCOME = "gate/verdict.json"
AGREED = [ANNOTATIONS[name] for name in ("labels", "preferences")]


def holds_the_same(candidate: Candidate, latest: Mapping[str, Any], release: str) -> bool:
    """Whether every file of an examined candidate equals that of the latest release, whose folder is `release`.

    Versions and what a run took set aside: both differ from run to run, whatever the data.
    """
    ours = {file["path"]: file["sha256"] for file in candidate.files} | {OUTCOME: None}
    theirs = {file["path"]: file["sha256"] for file in latest["files"] if is_compared(file["path"])}
    try:
        return ours.keys() == theirs.keys() and all(
            ours[path] == theirs[path]
            or content(candidate.uri, path, candidate.version) == content(release, path, latest["version"])
            for path in ours
        )
    except (duckdb.Error, StorageError, *warehouse.NO_PARQUET, *storage.FAULTS):
        return False  # a release with a file that cannot be read equals none


def is_compared(path: str) -> bool:
    """Whether a file says something of its own: of the gate's, the outcome does, and its pages and rows show the same."""
    return path == OUTCOME or not path.startswith("gate/")


def content(folder: str, path: str, version: str) -> object:
    """What a file of a release says, apart from its version and from what the run took."""
    uri = storage.join(folder, path)
    if path == ANNOTATIONS["stages"]:
        return warehouse.rows("stages_content", {"stages": Ref(uri, 0, "")})
    if path.endswith(".parquet"):
        return schema(uri), warehouse.rows("file_content", {"file": Ref(uri, 0, "")})
    return storage.read_bytes(uri).replace(version.encode(), b"")


def schema(uri: str) -> pa.Schema:
    """The columns of a Parquet file, and their types."""
    with storage.opened(uri) as file:
        return pq.read_schema(file)


def changed_rows(candidate: Candidate, latest: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """How many rows each dataset and split has, and had."""
    now, before = count_rows(candidate.files), count_rows(latest["files"] if latest else ())
    return [
        {
            "dataset": dataset,
            "split": split,
            "rows": f"{now[dataset, split]:,}",
            "before": f"{before[dataset, split]:,}" if latest else NONE,
            "change": f"{now[dataset, split] - before[dataset, split]:+,}",
        }
        for dataset in ("prompts", *BY_RESPONDER)
        for split in SPLITS
    ]


def count_rows(files: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """Rows by dataset and split, of the files of a manifest."""
    counts: Counter[tuple[str, str]] = Counter()
    for file in files:
        dataset, _, rest = file["path"].partition("/")
        counts[dataset, rest.rsplit("/", 1)[-1].removesuffix(".parquet")] += file["rows"] or 0
    return counts


def changed_agreement(candidate: Candidate, latest: Mapping[str, Any] | None, root: str) -> list[dict[str, str]]:
    """The mean share of votes for what was decided, now and before."""
    now = mean_agreement(candidate.uri)
    before: dict[str, str] = {}
    if latest:
        release = storage.join(root, "releases", latest["version"])
        with suppress(duckdb.Error, StorageError):  # of a release that is damaged nothing is said
            told = mean_agreement(release)
            if not any(misfits(release, latest["files"], among=AGREED)):  # of what was read
                before = told
    return [
        {"question": question, "agreement": mean, "before": before.get(question, NONE)}
        for question, mean in now.items()
    ]


def mean_agreement(uri: str) -> dict[str, str]:
    """The mean agreement by question, in the release or candidate at `uri`."""
    tables = {name: Ref(storage.join(uri, ANNOTATIONS[name]), 0, "") for name in ("labels", "preferences")}
    rows = warehouse.rows("approval_agreement", tables)
    return {row["question"]: NONE if row["agreement"] is None else f"{row['agreement']:.3f}" for row in rows}


def samples(candidate: Candidate, count: int) -> list[dict[str, Any]]:
    """`count` pairs of the candidate with their text, the same ones each time."""
    paths = [file["path"] for file in candidate.files if file["path"].startswith("dual/")]
    pairs = [Ref(storage.join(candidate.uri, path), 0, "") for path in paths]
    return warehouse.rows("approval_samples", {"dual": pairs}, samples=count)
