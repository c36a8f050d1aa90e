import errno
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from infra import storage
from tasks.errors import StorageError
from tasks.people.people import files
from tasks.release.manifest import misfits, read_manifest
from tasks.release.verify import faults, main
from tasks.work.store import compact
from tests.conftest import ROOT
from tests.tasks.release import releases


def verify(root: Path) -> "subprocess.CompletedProcess[str]":
    """What `make verify` does."""
    command = [sys.executable, "-m", "tasks.release.verify", str(root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_verify_says_what_does_not_fit_and_its_exit_code_says_whether_anything_does(tmp_path: Path) -> None:
    root = tmp_path / "storage"
    (root / "of somebody else").mkdir(parents=True)
    asked = verify(root)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr == f"error: {root}: is no storage; set STORAGE to one\n"
    made = releases.release(str(root))
    assert verify(root).returncode == 0
    (Path(made.uri) / "README.md").unlink()
    (Path(made.uri) / "a\x1b[2J").write_text("")
    asked = verify(root)
    assert asked.returncode == 1
    assert "README.md is missing" in asked.stdout
    assert "\x1b[2J" not in asked.stdout
    assert "Traceback" not in asked.stderr


def test_verify_reads_tables_to_their_end_and_holds_exports_to_their_names(root: str) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": list(range(9000))}), sink)
    whole = sink.getvalue().to_pybytes()
    half = len(whole) // 2
    storage.write_bytes(f"{root}/tables/labels/whole.parquet", whole)
    storage.write_bytes(f"{root}/people/{sha256(b'[]').hexdigest()}.json", b"[]")
    storage.write_bytes(f"{root}/people/by hand.json", b"[]")
    assert not list(faults(root))
    storage.write_bytes(f"{root}/tables/labels/gap.parquet", whole[:4] + bytes(half) + whole[4 + half :])
    storage.write_bytes(f"{root}/tables/labels/cut.parquet", whole[:half])
    storage.write_bytes(f"{root}/people/{'0' * 64}.json", b"[]")
    storage.write_bytes(f"{root}/people/none.json", b"{")
    assert [where for where, _ in faults(root)] == [
        "tables/labels/cut.parquet",
        "tables/labels/gap.parquet",
        f"people/{'0' * 64}.json",
        "people/none.json",
    ]


def test_verify_finds_a_release_that_is_gone_one_that_was_never_published_and_one_whose_manifest_was_changed(
    root: str,
) -> None:
    first, second, third = (releases.release(root, name) for name in ("mine", "theirs", "others"))
    storage.remove(first.uri)
    storage.write_bytes(f"{second.uri}/manifest.json", storage.read_bytes(f"{second.uri}/manifest.json") + b" ")
    storage.write_bytes(f"{root}/releases/2026.01.01/manifest.json", storage.read_bytes(f"{third.uri}/manifest.json"))
    assert {where for where, _ in faults(root)} == {
        f"releases/{first.version}",
        f"releases/{second.version}",
        "releases/2026.01.01",
    }


def test_verify_goes_on_behind_a_broken_pointer(root: str) -> None:
    made = releases.release(root)
    storage.write_bytes(f"{root}/releases/latest.json", b"{}")
    storage.remove(f"{made.uri}/README.md")
    assert [where for where, _ in faults(root)] == ["releases/latest.json", f"releases/{made.version}"]


def test_verify_misses_releases_that_were_deleted_with_their_pointer(root: str) -> None:
    made = [releases.release(root, name) for name in ("mine", "theirs")]
    storage.remove(f"{root}/releases")
    assert [where for where, _ in faults(root)] == [f"releases/{release.version}" for release in made]
    assert all("delete its file in claims/" in what for _, what in faults(root))
    storage.remove(f"{root}/claims")
    assert not list(faults(root))


def test_verify_does_not_advise_to_forget_a_release_that_a_later_one_names(root: str) -> None:
    first, _ = (releases.release(root, name) for name in ("mine", "theirs"))
    storage.remove(first.uri)
    ((where, what),) = faults(root)
    assert (where, "claims/" in what) == (f"releases/{first.version}", False)
    storage.remove(f"{root}/claims/{first.version}")
    assert list(faults(root)) == [(where, what)]


def test_ctrl_c_ends_verify_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: str) -> NoReturn:
        raise KeyboardInterrupt

    (tmp_path / "tables").mkdir()
    monkeypatch.setattr("tasks.release.verify.faults", interrupted)
    with pytest.raises(SystemExit) as raised:
        main(str(tmp_path))
    assert raised.value.code == 130
    assert capsys.readouterr() == ("", "stopped by SIGINT\n")


def test_a_file_that_cannot_be_read_is_told_by_its_path_and_hides_no_other(tmp_path: Path) -> None:
    root = str(tmp_path)
    old, latest = (releases.release(root, name) for name in ("mine", "theirs"))
    storage.remove(f"{old.uri}/README.md")
    for link in (
        f"{old.uri}/README.md",
        *(f"{root}/{path}" for path in ("claims/a", "tables/a.parquet", "people/a.json")),
    ):
        Path(link).parent.mkdir(exist_ok=True)
        Path(link).symlink_to("/nowhere")
    storage.remove(f"{old.uri}/charts/order.svg")
    storage.write_bytes(f"{latest.uri}/README.md", b"")
    for path in ("tables/b.parquet", "people/b.json"):
        storage.write_bytes(f"{root}/{path}", b"{")
    found = list(faults(root))
    assert [where for where, _ in found] == [
        "claims/a",
        *[f"releases/{old.version}"] * 2,
        f"releases/{latest.version}",
        "tables/a.parquet",
        "tables/b.parquet",
        "people/a.json",
        "people/b.json",
    ]
    assert found[1][1] == "README.md is no file"
    with pytest.raises(StorageError, match=r"people/a\.json: cannot be read: No such file"):
        files(root)


def test_a_name_that_is_no_utf8_is_one_line_and_stops_no_other_release(tmp_path: Path) -> None:
    root = str(tmp_path)
    made = releases.release(root, "mine")
    for folder in (made.uri, f"{root}/people", f"{root}/tables/completions/a"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for suffix in (b".json", b".parquet"):
            Path(os.fsdecode(os.fsencode(folder) + b"/\xff" + suffix)).touch()
    found = list(faults(root))
    assert [where for where, _ in found] == [f"releases/{made.version}", "tables", "people"]
    assert all(r"\xff." in what and "is no name in UTF-8" in what for _, what in found)
    assert releases.release(root, "theirs").version != made.version
    with pytest.raises(StorageError, match=r"people: cannot be read: b'\\xff\.json' is no name in UTF-8"):
        files(root)
    with pytest.raises(StorageError, match=r"completions/a: cannot be read: b'\\xff\.parquet' is no name in UTF-8"):
        compact(f"{root}/tables")


def test_a_pipe_among_the_files_of_a_release_is_no_file_of_it_and_is_not_waited_for(tmp_path: Path) -> None:
    made = releases.release(str(tmp_path), "mine")
    storage.remove(f"{made.uri}/README.md")
    os.mkfifo(f"{made.uri}/README.md")
    assert list(faults(str(tmp_path))) == [(f"releases/{made.version}", "README.md is no file")]


def test_a_disk_that_fails_for_a_while_says_nothing_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    made = releases.release(str(tmp_path), "mine")
    files = read_manifest(made.uri, None)["files"]
    assert not list(misfits(made.uri, files))
    monkeypatch.setattr(LocalFileSystem, "open", fail)
    with pytest.raises(StorageError, match="cannot be read"):
        list(misfits(made.uri, files))
