"""What is broken in a storage of releases blocks nothing that does not need it; what needs it says so in one line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from tasks.errors import StorageError
from tasks.release.candidate import Candidate, describe_files
from tasks.release.changes import changed_agreement
from tasks.release.manifest import claim_address, published
from tasks.release.release import equal_address, next_version, unchanged
from tests.examples import examples
from tests.tasks.release import releases
from tests.tasks.release.releases import release

ANNOTATED = ("annotations/labels.parquet", "annotations/preferences.parquet")
SHARES = ("agreement", "better_agreement", "safer_agreement", "overall_agreement")


def write(root: str, fingerprint: str) -> tuple[Candidate, releases.Files]:
    """A candidate as the gate left it, whose annotations agree in half."""
    candidate, _ = releases.write(root, fingerprint)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: [0.5] for name in SHARES}), sink)
    for path in ANNOTATED:
        storage.write_bytes(storage.join(candidate.uri, path), sink.getvalue().to_pybytes())
    return candidate, tuple(describe_files(candidate.uri))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "files", "path", "fingerprint", "verdict", "said"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)
BROKEN = st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20))


@examples(60)
@given(content=BROKEN, is_pointer=st.booleans())
def test_whatever_stands_for_a_pointer_or_a_manifest_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, is_pointer: bool
) -> None:
    root = str(tmp_path_factory.mktemp("root"))
    storage.write_bytes(f"{root}/releases/2026.01.01/manifest.json", content)
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = content if is_pointer else json.dumps({"version": "2026.01.01", "manifest_sha256": sha256}).encode()
    storage.write_bytes(f"{root}/releases/latest.json", pointer)
    for use in (published, lambda root: unchanged("mine", root), lambda root: release(root, "mine")):
        with pytest.raises(StorageError, match=rf"/{'latest' if is_pointer else 'manifest'}\.json: is no ") as raised:
            use(root)
        assert len(str(raised.value).splitlines()) == 1


def test_a_claim_that_broke_is_another_ones(root: str) -> None:
    version = next_version(root, "mine", releases.DAY)
    storage.create(claim_address(root, version), b"\xff\x00")
    assert release(root, "mine").version == f"{version}.1"


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    root = str(tmp_path)
    made = release(root, "mine")
    (tmp_path / f"claims/{made.version}.1").write_bytes(b"theirs")
    for path in ("releases/latest.json", f"releases/{made.version}/manifest.json", f"claims/{made.version}.1"):
        file = tmp_path / path
        whole = file.read_bytes()
        file.unlink()
        file.mkdir()
        with pytest.raises(StorageError, match=r"Is a directory") as raised:
            release(root, "theirs")
        assert len(str(raised.value).splitlines()) == 1
        file.rmdir()
        file.write_bytes(whole)
    assert release(root, "theirs").version == f"{made.version}.1"


def test_what_is_remembered_of_equal_releases_costs_nothing_when_it_broke(root: str) -> None:
    made = release(root, "mine")
    for content in (b"\xff", b"", b"[]"):
        storage.write_bytes(equal_address(root, "theirs"), content)
        assert unchanged("theirs", root) is None
    storage.write_bytes(equal_address(root, "theirs"), made.version.encode())
    assert unchanged("theirs", root) is not None


@pytest.mark.parametrize("how", ["gone", "cut", "zeroed", "other"])
def test_a_damaged_release_is_set_beside_no_candidate_and_blocks_none(root: str, how: str) -> None:
    made = releases.publish_candidate(root, *write(root, "mine"))
    latest: dict[str, Any] = published(root) or {}
    candidate, _ = write(root, "theirs")
    assert {row["before"] for row in changed_agreement(candidate, latest, root)} == {"0.500"}
    for path in ANNOTATED:
        file = f"{made.uri}/{path}"
        whole = storage.read_bytes(file)
        broken = {"cut": whole[:-9], "zeroed": whole[:4] + bytes(60) + whole[64:], "other": b"other"}
        storage.remove(file) if how == "gone" else storage.write_bytes(file, broken[how])
    assert {row["before"] for row in changed_agreement(candidate, latest, root)} == {"-"}
    if how != "gone":
        assert storage.exists(f"{made.uri}/{ANNOTATED[0]}")
    assert release(root, "theirs").version != made.version
