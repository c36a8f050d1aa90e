import errno
import os
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from infra import leftovers, storage
from tasks.config import load
from tasks.errors import ConfigError, ModelError, StorageError
from tasks.preflight import ROOMS, SIGNS, check, check_lock, surrounding
from tests.conftest import write_config


@pytest.mark.parametrize("sign", SIGNS)
def test_a_storage_inside_the_folder_of_another_one_is_found_and_one_beside_it_is_not(root: str, sign: str) -> None:
    storage.write_bytes(f"{root}/{sign}/x" if sign == "tables/completions" else f"{root}/{sign}", b"")
    assert [surrounding(f"{root}/{room}{below}") for room in ROOMS for below in ("", "/a/b")] == [root] * 2 * len(ROOMS)
    assert surrounding(f"{root}/tables/mine/tables/a") == root
    for beside in ("", "/a", "/mytables/a", "-tables/releases/a"):
        assert surrounding(root + beside) is None


@pytest.mark.parametrize("sign", SIGNS)
def test_a_folder_that_is_named_as_one_of_a_storage_is_none_by_that(root: str, sign: str) -> None:
    # What a storage inside it has is no sign of another one around it.
    storage.write_bytes(f"{root}/tables/releases/a/{sign}/x", b"")
    assert surrounding(f"{root}/tables/releases/a") is None
    assert surrounding("/releases/a") is None
    assert surrounding("s3://releases") is None


def test_numbers_that_come_to_more_than_a_run_can_hold_are_refused_together(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    most = (
        path.read_text().replace("samples = 2", "samples = 1000").replace("label_votes = 3", "preference_votes = 1000")
    )
    path.write_text(most.replace("[diversity]", "[diversity]\nalternatives = 100"))
    with pytest.raises(ConfigError, match=r"preferences by judge: 12 prompts come to [0-9,]+ of them"):
        check(load(str(path)).model_copy(update={"responders": load(str(path)).responders * 2}))
    path.write_text(path.read_text() + "[pairs]\nbudget = 9\n")
    check(load(str(path)))


@pytest.mark.parametrize("far", [True, False])
def test_a_temporary_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    def refuses(prefix: str, dir: Path | None = None) -> str:
        if far == (dir is None):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir or tempfile.tempdir))
        return made(prefix=prefix, dir=dir)

    made = tempfile.mkdtemp
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tempfile.mkdtemp", refuses)
    with pytest.raises(
        ConfigError, match=f"^temporary folder {tmp_path if far else leftovers.temporary()}: .*Read-only.*set TMPDIR"
    ):
        check(load(str(write_config(tmp_path))))


def test_a_folder_whose_name_is_not_in_utf8_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(odd)
    written = str(write_config(tmp_path, storage="data"))
    monkeypatch.setattr("tempfile.tempdir", odd)
    with pytest.raises(ConfigError, match=r"not in UTF-8; set TMPDIR"):
        check(load(written))
    monkeypatch.undo()
    monkeypatch.setenv("HOME", odd)
    with pytest.raises(ConfigError, match=r"^HOME .* not in UTF-8"):
        check(load(written))
    with pytest.raises(ConfigError, match=r"^configuration .* not in UTF-8"):
        load(f"{odd}/a.toml")
    monkeypatch.chdir(odd)
    with pytest.raises(ConfigError, match=r"storage: the name of a folder .* not in UTF-8"):
        load(written)


def test_where_no_folder_is_for_temporary_files_that_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_usable() -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    leftovers.sweep()
    with pytest.raises(ConfigError, match=r"No usable temporary directory.*set TMPDIR"):
        check(load(str(write_config(tmp_path))))


def test_a_model_whose_name_no_disk_takes_is_one_line(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    for kind in ("transformers", "vllm"):
        engine = f'kind = "{kind}", model = "{"a" * 300}"'
        path.with_name(f"{kind}.toml").write_text(
            path.read_text().replace('kind = "scripted", block_rows = 8, journal', f"{engine} }}\n#", 1)
        )
        with pytest.raises(ModelError, match="mend its path"):
            check(load(str(path.with_name(f"{kind}.toml"))))


def test_a_link_in_the_place_of_a_lock_is_one_line_and_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "absent")
    with pytest.raises(StorageError, match=r"/\.lock: cannot be opened: .* symbolic links; delete it"):
        check_lock(str(tmp_path))
    assert not (tmp_path / "absent").exists()
