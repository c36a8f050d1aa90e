"""What is broken in a storage of releases blocks nothing that does not need it; what needs it says so in one line."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from tasks.config import load
from tasks.errors import StorageError
from tasks.release.candidate import Candidate, describe_files
from tasks.release.changes import changed_agreement
from tasks.release.release import (
    Release,
    catalog,
    claim_address,
    equal_address,
    next_version,
    publish,
    published,
    unchanged,
)
from tests.conftest import ROOT
from tests.examples import examples

CONFIG = load(str(ROOT / "flows/configs/scripted.toml"))
VERDICT = {"said": "passed"}
ANNOTATED = {"labels": "annotations/labels.parquet", "preferences": "annotations/preferences.parquet"}


SHARES = ("agreement", "better_agreement", "safer_agreement", "overall_agreement")


def write(root: str, fingerprint: str) -> Candidate:
    """A candidate as the gate left it."""
    version = next_version(root, fingerprint)
    uri = storage.join(root, "candidates", f"{version}-{fingerprint}")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: [0.5] for name in SHARES}), sink)
    for path in ("qa/a/train.parquet", *ANNOTATED.values(), "README.md"):
        content = sink.getvalue().to_pybytes() if path.endswith(".parquet") else version.encode()
        storage.write_bytes(storage.join(uri, path), content)
    return Candidate(version, uri, tuple(describe_files(uri)), fingerprint)


def release(root: str, fingerprint: str) -> Release:
    return publish(CONFIG, write(root, fingerprint), VERDICT, None, [], root)


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
SEEN: tuple[bytes, ...] = (b"", b"[]", b"null", b"{}", b'{"files": 3}', b'{"files": [{}]}', b'{"files": [[]]}', b"\xff")


@pytest.mark.parametrize("content", SEEN)
def test_an_old_manifest_that_broke_blocks_nothing(root: str, content: bytes) -> None:
    first, second = release(root, "first"), release(root, "second")
    storage.write_bytes(f"{first.uri}/manifest.json", content)
    third = release(root, "third")
    views = catalog(root, third.version)
    assert f'"{first.version}"' not in views
    assert f'"{second.version}"' in views
    assert len({first.version, second.version, third.version}) == 3


@examples(60)
@given(content=BROKEN, is_pointer=st.booleans())
def test_whatever_stands_for_a_pointer_or_a_manifest_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, is_pointer: bool
) -> None:
    root = str(tmp_path_factory.mktemp("root"))
    storage.write_bytes(f"{root}/releases/2026.01.01/manifest.json", content)
    pointer = content if is_pointer else b'{"version": "2026.01.01"}'
    storage.write_bytes(f"{root}/releases/latest.json", pointer)
    for use in (published, lambda root: unchanged("mine", root), lambda root: release(root, "mine")):
        with pytest.raises(StorageError, match=r"latest\.json: leads to no readable manifest") as raised:
            use(root)
        assert len(str(raised.value).splitlines()) == 1


def test_a_claim_that_broke_is_another_ones(root: str) -> None:
    version = next_version(root, "mine")
    storage.create(claim_address(root, version), b"\xff\x00")
    assert release(root, "mine").version == f"{version}.1"


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    root = str(tmp_path)
    made = release(root, "mine")
    for path in ("releases/latest.json", f"releases/{made.version}/manifest.json", f"claims/{made.version}"):
        file = tmp_path / path
        whole = file.read_bytes()
        file.unlink()
        file.mkdir()
        with pytest.raises(StorageError, match=r"Is a directory|leads to no readable manifest") as raised:
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
    made = release(root, "mine")
    latest: dict[str, Any] = published(root) or {}
    candidate = write(root, "theirs")
    for path in ANNOTATED.values():
        file = f"{made.uri}/{path}"
        whole = storage.read_bytes(file)
        broken = {"cut": whole[:-9], "zeroed": whole[:4] + bytes(60) + whole[64:], "other": b"other"}
        storage.remove(file) if how == "gone" else storage.write_bytes(file, broken[how])
    assert {row["before"] for row in changed_agreement(candidate, latest, root)} == {"-"}
    if how != "gone":
        assert storage.exists(f"{made.uri}/{ANNOTATED['labels']}")
    assert release(root, "theirs").version != made.version
