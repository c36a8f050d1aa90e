import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from tasks.errors import StorageError
from tasks.release.catalog import current_catalog
from tasks.release.manifest import lineage, published, read_manifest
from tasks.release.release import unchanged
from tasks.release.verify import faults
from tests.examples import examples
from tests.tasks.release import releases


def test_a_manifest_that_was_changed_after_it_was_published_is_one_line_wherever_it_is_used(root: str) -> None:
    made = releases.release(root)
    told = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    storage.write_bytes(f"{made.uri}/manifest.json", json.dumps(told | {"verdict": {"said": "<script>"}}).encode())
    for use in (published, lineage, current_catalog, lambda root: unchanged("mine", root), releases.release):
        with pytest.raises(StorageError, match=r"manifest\.json: was changed after it was published") as raised:
            use(root)
        assert "\n" not in str(raised.value)


def test_a_release_tells_the_digests_of_all_that_stood_before_it(root: str) -> None:
    made = [releases.release(root, name) for name in ("mine", "theirs", "others")]
    digests = {one.version: sha256(storage.read_bytes(f"{one.uri}/manifest.json")).hexdigest() for one in made}
    assert lineage(root) == digests
    storage.remove(made[0].uri)
    releases.release(root, "later")
    assert lineage(root).keys() - digests.keys() != set()
    assert made[0].version not in lineage(root)


def test_where_the_pointer_was_deleted_the_newest_release_that_was_published_is_the_latest(root: str) -> None:
    uri = f"{root}/releases/latest.json"
    made = [releases.release(root, f"made-{number}") for number in range(11)]  # .10 is newer than .9
    pointer, known = json.loads(storage.read_bytes(uri)), lineage(root)
    # What a publisher left that was killed is none, whatever its name.
    storage.write_bytes(f"{root}/releases/2027.01.01/manifest.json", storage.read_bytes(f"{made[0].uri}/manifest.json"))
    storage.write_bytes(f"{root}/claims/2027.01.01", b"a fingerprint")
    storage.remove(uri)
    assert lineage(root) == known
    (found,) = [what for where, what in faults(root) if where == "releases/latest.json"]
    assert json.loads(found.split(": ", 1)[1]) == pointer
    assert releases.release(root, "next").version not in known
    assert known.items() < lineage(root).items()


def test_a_release_that_is_broken_is_not_taken_for_the_latest(root: str) -> None:
    first, second = (releases.release(root, name) for name in ("mine", "theirs"))
    storage.write_bytes(f"{second.uri}/manifest.json", b"[]")
    storage.remove(f"{root}/releases/latest.json")
    assert list(lineage(root)) == [first.version]
    storage.remove(first.uri)
    assert published(root) is None
    assert lineage(root) == {}


@pytest.mark.parametrize("path", ["releases/latest.json", "releases/{version}/manifest.json"])
def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path: Path, path: str) -> None:
    made = releases.release(str(tmp_path))
    place = tmp_path / path.format(version=made.version)
    place.unlink()
    place.mkdir()
    with pytest.raises(StorageError) as raised:
        releases.release(str(tmp_path), "theirs")
    assert str(place) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("told", [{"rows": "5"}, {"rows": 5.0}, {"bytes": True}, {"bytes": None}])
def test_a_number_of_a_manifest_is_taken_for_nothing_else(tmp_path: Path, told: dict[str, object]) -> None:
    made = releases.release(str(tmp_path))
    manifest = json.loads(storage.read_bytes(f"{made.uri}/manifest.json"))
    manifest["files"][0] |= told
    storage.write_bytes(f"{made.uri}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(StorageError, match=rf"manifest\.json: is no manifest \(files\.0\.{next(iter(told))}: "):
        read_manifest(made.uri)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["version", "files", "manifest_sha256", "x\n"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples(60)
@given(
    content=st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20)), pointer=st.booleans()
)
def test_whatever_stands_for_a_pointer_or_a_manifest_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, pointer: bool
) -> None:
    root = str(tmp_path_factory.mktemp("root"))
    storage.write_bytes(f"{root}/releases/2026.01.01/manifest.json", content)
    points = json.dumps({"version": "2026.01.01", "manifest_sha256": sha256(content).hexdigest()}).encode()
    storage.write_bytes(f"{root}/releases/latest.json", content if pointer else points)
    with pytest.raises(StorageError) as raised:
        published(root)
    assert len(str(raised.value).splitlines()) == 1
