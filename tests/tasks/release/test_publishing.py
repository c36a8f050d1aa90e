"""What is published is what was judged, byte for byte, and what was published is held to that whenever it is used again."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from tasks.errors import StorageError
from tasks.release import manifest, release
from tasks.release.candidate import Candidate, describe_files
from tasks.release.changes import changed_agreement
from tasks.release.manifest import misfits, published
from tasks.release.release import Decision, discard_equal, unchanged
from tasks.release.verify import faults
from tests.disks import deny, folder_on_another_disk
from tests.examples import examples
from tests.tasks.release import releases
from tests.tasks.release.releases import PATHS


def other_bytes(uri: str) -> None:
    storage.write_bytes(uri, storage.read_bytes(uri).replace(b"2026", b"2027") + b"<script>")


def nothing(uri: str) -> None:
    storage.remove(uri)


def a_file_more(uri: str) -> None:
    storage.write_bytes(f"{uri}.more", b"")


CHANGES = (other_bytes, nothing, a_file_more)
Change = Callable[[str], None]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("path", PATHS)
def test_a_candidate_that_was_changed_after_the_gate_is_not_published(
    tmp_path: Path, path: str, change: Change
) -> None:
    root = str(tmp_path)
    candidate, files = releases.write(root)
    change(storage.join(candidate.uri, path))
    with pytest.raises(StorageError, match=rf"{path}.* since the gate looked at it; nothing is published"):
        releases.publish_candidate(root, candidate, files)
    assert not storage.exists(storage.join(root, "releases"))


@pytest.mark.parametrize("change", CHANGES)
def test_a_candidate_that_is_changed_on_its_way_is_not_pointed_to(
    root: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, files = releases.write(root)
    move = storage.move_folder

    def move_and_change(source: str, target: str, last: str) -> None:
        move(source, target, last)
        change(storage.join(target, PATHS[0]))

    with monkeypatch.context() as patched:
        patched.setattr(storage, "move_folder", move_and_change)
        with pytest.raises(StorageError, match="nothing is published"):
            releases.publish_candidate(root, candidate, files)
    assert published(root) is None
    made = releases.release(root)
    assert made.version == candidate.version
    assert not list(faults(root))


class Killed(BaseException):
    """What nothing in the code hears of."""


@pytest.mark.parametrize("step", ["create", "move_folder", "catalog"])
def test_a_publisher_that_was_killed_before_the_pointer_is_gone_on_with_under_its_version(
    root: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = release if step == "catalog" else storage
    does = getattr(of, step)

    def do_and_die(*arguments: object, **named: object) -> None:
        does(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(of, step, do_and_die)
        with pytest.raises(Killed):
            releases.release(root)
    assert published(root) is None
    left = storage.listing(storage.join(root, "releases"), "verdict.json")
    for uri in left:
        storage.write_bytes(uri, b"<script>")
    made = releases.release(root)
    assert [address.rsplit("/", 1)[-1] for address in storage.folders(storage.join(root, "releases"))] == [made.version]
    latest = published(root)
    assert latest is not None
    assert latest["version"] == made.version
    assert not list(faults(root))


NAMING = ("link", "replace", "rename", "remove", "unlink", "open", "mkdir", "rmdir")
"""Calls that change which names stand on a disk."""


def kill_at(patched: pytest.MonkeyPatch, moment: int) -> None:
    """Have what is done to a disk end before the call of this number: for good, since nobody comes to tidy up either."""
    calls = count()

    def until_then(call: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **named: object) -> object:
            if next(calls) >= moment:
                raise Killed
            return call(*arguments, **named)

        return called

    for name in NAMING:
        patched.setattr(os, name, until_then(getattr(os, name)))


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_publisher_that_is_killed_at_any_moment_leaves_a_whole_release_or_none(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "code_revision", lambda: "unknown")
    if not links:
        deny(monkeypatch, "os.link", errno.EPERM)
    for moment in count():
        root = str(tmp_path / str(moment))
        candidate, files = releases.write(root)
        with monkeypatch.context() as patched, suppress(Killed):
            kill_at(patched, moment)
            releases.publish_candidate(root, candidate, files)
            break
        latest = published(root)
        assert latest is None or not list(misfits(f"{root}/releases/{latest['version']}", latest["files"]))
        made = releases.release(root)
        latest = published(root)
        assert latest is not None
        assert latest["version"] == made.version
        assert not list(faults(root))
    assert moment >= len(NAMING)
    assert not list(faults(root))


def test_a_release_is_published_where_its_folders_stand_on_another_disk_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch, "os.link", errno.EPERM)
    root = tmp_path / "storage"
    root.mkdir()
    with folder_on_another_disk(tmp_path) as other:
        for name in ("candidates", "releases"):
            (other / name).mkdir()
            (root / name).symlink_to(other / name)
        made = releases.release(str(root))
        assert published(str(root))
        assert (other / "releases" / made.version).is_dir()
        assert not list(faults(str(root)))


def test_a_version_that_was_published_is_never_written_over(root: str) -> None:
    made = [releases.release(root, name) for name in ("mine", "theirs", "mine")]
    assert len({one.version for one in made}) == 3
    assert not list(faults(root))
    candidate, files = releases.write(root, "late")
    releases.publish_candidate(root, candidate, files)
    again, files = releases.write(root, "late")
    with pytest.raises(StorageError, match="another run has this version"):
        releases.publish_candidate(root, replace(again, version=candidate.version), files)
    assert not list(faults(root))


def test_what_equals_an_older_release_is_published_anew_with_its_approval_and_the_pointer_never_goes_back(
    root: str,
) -> None:
    moments = [("A", 0), ("B", 0), ("A", 0), ("B", 1), ("A", -1), ("B", -400), ("A", 0)]  # the clock may go back
    made: list[str] = []
    for number, (name, days) in enumerate(moments):
        assert unchanged(name, root) is None
        candidate, files = releases.write(root, name, releases.DAY + timedelta(days))
        storage.write_bytes(f"{candidate.uri}/README.md", name.encode())
        files = tuple(describe_files(candidate.uri))
        candidate = replace(candidate, files=tuple(file for file in files if not file["path"].startswith("gate/")))
        assert discard_equal(candidate, root) is None
        decision = Decision("approve", "Ada", f"for the {number}. time", "2026-01-02T00:00:00+00:00")
        made.append(releases.publish_candidate(root, candidate, files, decision).version)
        latest = published(root)
        assert latest is not None
        assert latest["version"] == made[-1]
        assert latest["approval"]["reason"] == decision.reason
        assert latest["parent"] == (made[-2] if number else None)
        assert manifest.lineage(root).keys() == set(made)
    assert made == [
        "2026.01.02",
        *(f"2026.01.02.{n}" for n in (1, 2)),
        *(f"2026.01.03{n}" for n in ("", ".1", ".2", ".3")),
    ]
    storage.remove(f"{root}/releases/latest.json")
    assert manifest.point(root) == manifest.Pointer(version=made[-1], manifest_sha256=sha256_of(root, made[-1]))


def sha256_of(root: str, version: str) -> str:
    return sha256(storage.read_bytes(f"{root}/releases/{version}/manifest.json")).hexdigest()


def die(*_: object) -> str:
    raise Killed


def test_a_run_that_was_killed_while_it_published_does_not_take_its_version_behind_a_later_one(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(release, "catalog", die)
        with pytest.raises(Killed):
            releases.release(root, "A")
    waiting, files = releases.write(root, "A")
    assert releases.release(root, "B").version == f"{waiting.version}.1"
    with pytest.raises(StorageError, match="a later one; run again for the next one"):
        releases.publish_candidate(root, waiting, files)
    assert releases.release(root, "A").version == f"{waiting.version}.2"
    assert manifest.lineage(root).keys() == {f"{waiting.version}.1", f"{waiting.version}.2"}


def test_a_version_stays_what_it_was_where_the_pointer_was_moved_back(root: str) -> None:
    pointer = f"{root}/releases/latest.json"
    releases.release(root, "mine")
    before = storage.read_bytes(pointer)
    made = releases.release(root, "theirs")
    kept = storage.read_bytes(f"{made.uri}/manifest.json")
    storage.write_bytes(pointer, before)
    assert releases.release(root, "theirs").version != made.version
    assert storage.read_bytes(f"{made.uri}/manifest.json") == kept


@pytest.mark.parametrize("claim", [b"theirs", b"\xff\x00", b""])
def test_a_run_cannot_take_the_claim_of_another(root: str, claim: bytes) -> None:
    candidate, files = releases.write(root)
    storage.create(manifest.claim_address(root, candidate.version), claim)
    with pytest.raises(StorageError, match="another run has this version"):
        releases.publish_candidate(root, candidate, files)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("path", PATHS)
def test_a_damaged_release_equals_nothing_and_is_found_by_verify(tmp_path: Path, path: str, change: Change) -> None:
    root = str(tmp_path)
    made = releases.release(root)
    same = unchanged("mine", root)
    assert same is not None
    assert same.version == made.version
    change(storage.join(made.uri, path))
    assert unchanged("mine", root) is None
    ((where, what),) = faults(root)
    assert where == f"releases/{made.version}"
    assert path in what
    candidate, files = releases.write(root, "theirs")
    assert discard_equal(candidate, root) is None
    again = releases.publish_candidate(root, candidate, files)
    assert again.version != made.version


def test_a_damaged_release_is_not_shown_to_the_person_who_approves_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path)
    monkeypatch.setattr("tasks.release.changes.mean_agreement", lambda uri: {"safety": uri})
    made = releases.release(root)
    candidate = Candidate("next", "next", (), "theirs")
    (row,) = changed_agreement(candidate, published(root), root)
    assert row["before"] == made.uri
    other_bytes(storage.join(made.uri, "annotations/labels.parquet"))
    (row,) = changed_agreement(candidate, published(root), root)
    assert row["before"] == "-"


def test_files_that_are_as_they_were_described_do_not_misfit_wherever_they_stand(root: str) -> None:
    candidate, files = releases.write(root)
    assert list(misfits(candidate.uri, files)) == []
    assert tuple(describe_files(candidate.uri)) == files


def test_what_a_desktop_leaves_in_a_folder_is_not_counted_and_never_published(root: str) -> None:
    candidate, files = releases.write(root)
    names = [f"{folder}{name}" for folder in ("", "annotations/", "gate/") for name in manifest.OF_DESKTOPS]
    for name in names:
        storage.write_bytes(f"{candidate.uri}/{name}", b"icons")
    assert tuple(describe_files(candidate.uri)) == files
    assert list(misfits(candidate.uri, files)) == []
    made = releases.publish_candidate(root, candidate, files)
    assert {uri.removeprefix(f"{made.uri}/") for uri in storage.listing(made.uri)} == {*releases.PATHS, "manifest.json"}
    for name in names:
        storage.write_bytes(f"{made.uri}/{name}", b"icons")
    assert list(faults(root)) == []
    assert unchanged("mine", root) is not None
    # By its whole name alone, and no more where a manifest names it.
    storage.write_bytes(f"{made.uri}/annotations/.DS_Store.parquet", b"")
    listed = [*files, {"path": "Thumbs.db", "sha256": "0" * 64}]
    assert list(misfits(made.uri, listed)) == ["Thumbs.db was changed", "annotations/.DS_Store.parquet was added"]


@examples(100)
@given(
    before=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=3)),
    after=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=3)),
)
def test_a_folder_fits_exactly_when_it_holds_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    folders = []
    for contents in (before, after):
        folder = tmp_path_factory.mktemp("folder")
        for name, content in contents.items():
            (folder / name).mkdir()
            (folder / name / "x").write_bytes(content)
        folders.append(str(folder))
    differing = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    found = list(misfits(folders[1], describe_files(folders[0])))
    assert {misfit.split("/")[0] for misfit in found} == differing
    assert len(found) == len(differing)
