import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import main
from flows.running.clusters import alone
from tasks import preflight
from tasks.config import load
from tasks.errors import StorageError
from tests.conftest import ROOT, asked, write_config
from tests.disks import ON_LITTLE, deny, folder_on_another_disk
from tests.processes import program


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["flows.pipeline", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    captured = capsys.readouterr()
    assert raised.value.code == 2
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


MODEL = ROOT / ".models/smollm2-135m-instruct"
CASES = {
    "unknown key": ('name = "tested"', 'name = "tested"\ncolour = 1', "colour: unknown key"),
    "impossible value": ("samples = 2", "samples = -2", "responders[0].samples"),
    "slash in a name": ('name = "scripted-a"', 'name = "a/b"', "responders[0].name"),
    "dots in a name": ('name = "scripted-a"', 'name = ".."', "responders[0].name"),
    "missing model": (
        '{ kind = "word-counts" }',
        '{ kind = "sentence-transformers", model = "no/where" }',
        "model folder no/where",
    ),
    "missing key": (
        'kind = "scripted"',
        'kind = "openai", base_url = "http://127.0.0.1/v1", model = "m", key_variable = "ABSENT" }\n#',
        "environment variable ABSENT",
    ),
    "missing vLLM": ('kind = "scripted"', f'kind = "vllm", model = "{MODEL}" }}\n#', "vLLM is not installed here"),
    "hub model without revision": (
        'kind = "scripted"',
        'kind = "vllm", model = "meta/llama" }\n#',
        "give a `revision`",
    ),
    "unknown cluster": (
        "[prompts]",
        '[cluster]\nkind = "slurm"\n\n[prompts]',
        "cluster: `kind` should be one of 'local', 'attach', 'kuberay'",
    ),
    "missing prompts": ("prompts.jsonl", "absent.jsonl", "No such file"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_in_the_config_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    old, new, said = CASES[case]
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(old, new, 1))
    assert said in refused(capsys, monkeypatch, str(config))
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b"", "holds no rows"),
        ("other.csv", b"question\nWhy?\n", "no column `prompt`"),
        ("broken.parquet", b"PAR1", "not a Parquet file"),
        ("prompts.docx", b"Why?", "not .docx"),
    ],
)
def test_prompts_that_cannot_be_used_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    said: str,
) -> None:
    (tmp_path / name).write_bytes(content)
    line = refused(capsys, monkeypatch, str(write_config(tmp_path)), "--prompts", str(tmp_path / name))
    assert said in line
    assert name in line
    assert not (tmp_path / "storage").exists()


ESCAPE = "\x1b]0;owned\x07\x1b[31m\r\u202e"


def test_no_escape_of_a_terminal_passes_through_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    for arguments in (
        [f"{ESCAPE}.toml"],
        [str(config), "--prompts", f"{tmp_path}/{ESCAPE}.csv"],
        [str(config), "--storage", f"{config}/{ESCAPE}"],
        [str(config), "--storage", f"s3://{ESCAPE}/?"],
    ):
        line = refused(capsys, monkeypatch, *arguments)
        assert line.isprintable()


def test_storage_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    line = refused(capsys, monkeypatch, str(write_config(tmp_path)), "--storage", str(blocked / "storage"))
    assert "cannot be written: Not a directory" in line
    (tmp_path / "storage/.lock").mkdir(parents=True)
    line = refused(capsys, monkeypatch, str(write_config(tmp_path)))
    assert f"{tmp_path}/storage/.lock: cannot be opened: Is a directory" in line
    assert "rename it" in refused(
        capsys, monkeypatch, str(write_config(tmp_path)), "--storage", str(tmp_path / "back\\slash [1]")
    )


def refused_before_it_costs(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a run says that is refused: it has asked nothing, and left on the storage what stood there."""
    before = sorted(folder.glob("storage/**/*"))
    line = refused(capsys, monkeypatch, str(write_config(folder)))
    assert sorted(folder.glob("storage/**/*")) == before
    assert not asked(folder)
    return line


CALLS = {
    "fcntl.flock": (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP),
    "os.rename": (errno.EXDEV, errno.EPERM, errno.ENOSYS, errno.EMFILE),
    "os.replace": (errno.EPERM, errno.ENOSYS),
}
"""What disks refuse, and with which errors: Lustre, NFS, mounted buckets."""


@pytest.mark.parametrize(("call", "number"), [(call, number) for call, numbers in CALLS.items() for number in numbers])
def test_a_disk_on_which_a_run_could_not_publish_is_one_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    (tmp_path / "storage").mkdir()
    deny(monkeypatch, call, number)
    line = refused_before_it_costs(tmp_path, capsys, monkeypatch)
    assert f"{tmp_path}/storage" in line
    assert os.strerror(number) in line


def test_a_disk_that_has_neither_links_nor_another_way_for_one_alone_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "storage").mkdir()
    deny(monkeypatch, "os.link", errno.EPERM)
    with monkeypatch.context() as patched:
        deny(patched, "os.open", errno.EINVAL)
        line = refused_before_it_costs(tmp_path, capsys, patched)
        assert f"{tmp_path}/storage: no file can be made there for one run alone: Invalid argument" in line
    preflight.check(load(str(write_config(tmp_path))))
    assert not list((tmp_path / "storage").iterdir())


def gone(room: Path) -> str:
    room.symlink_to(room.parent / "unplugged")
    return "is no folder"


def a_file(room: Path) -> str:
    room.write_bytes(b"in the way")
    return "is no folder"


def of_the_system(room: Path) -> str:
    room.symlink_to("/proc")
    return "cannot be written: No such file or directory"


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such folder")


@pytest.mark.parametrize("odd", [gone, a_file, pytest.param(of_the_system, marks=ON_LINUX)])
@pytest.mark.parametrize("room", preflight.ROOMS)
def test_a_folder_of_a_storage_in_which_nothing_can_be_written_is_one_line_that_names_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    room: str,
    odd: Callable[[Path], str],
) -> None:
    (tmp_path / "storage").mkdir()
    said = odd(tmp_path / "storage" / room)
    assert f"{tmp_path}/storage/{room}: {said}" in refused_before_it_costs(tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("room", preflight.ROOMS)
def test_a_folder_of_a_storage_may_stand_on_another_disk_if_releases_are_moved_to_no_other_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    (tmp_path / "storage").mkdir()
    with folder_on_another_disk(tmp_path) as other:
        (tmp_path / "storage" / room).symlink_to(other)
        if room in ("candidates", "releases"):
            line = refused_before_it_costs(tmp_path, capsys, monkeypatch)
            assert "cannot be moved from candidates to releases: Invalid cross-device link; have both on one" in line
        else:
            preflight.check(load(str(write_config(tmp_path))))
        assert not list(other.iterdir())


@pytest.mark.parametrize("full", ["", "releases"])
def test_a_disk_with_almost_nothing_free_is_one_line_and_one_that_does_not_tell_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    (tmp_path / "storage/releases").mkdir(parents=True)
    left = {f"{tmp_path}/storage": 10**9, f"{tmp_path}/storage/releases": 10**9}
    place = str(tmp_path / "storage" / full)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: (10**9, 0, left[folder]))
    left[place] = preflight.LEAST_FREE - 1
    assert f"{place}: 20.0 MB are free" in refused_before_it_costs(tmp_path, capsys, monkeypatch)
    left[place] += 1
    preflight.check(load(str(write_config(tmp_path))))
    monkeypatch.setattr("shutil.disk_usage", lambda _: (0, 0, 0))
    preflight.check(load(str(write_config(tmp_path))))


def test_a_lock_of_another_user_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "storage").mkdir()
    lock = tmp_path / "storage/.lock"
    lock.write_text("theirs")
    opens = open

    def opens_no_lock(file: Any, *arguments: Any, **named: Any) -> Any:
        if str(file) == str(lock):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        return opens(file, *arguments, **named)

    monkeypatch.setattr("builtins.open", opens_no_lock)
    assert f"{lock}: cannot be opened: Permission denied" in refused_before_it_costs(tmp_path, capsys, monkeypatch)
    with pytest.raises(StorageError, match="held for one run alone: Permission denied"), alone(str(lock.parent)):
        pass


def test_whoever_looks_at_a_storage_keeps_no_run_from_it(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)))
    with alone(config.storage):
        preflight.check(config)
    assert sorted(path.name for path in (tmp_path / "storage").iterdir()) == [".lock"]


def test_a_storage_inside_another_one_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = tmp_path / "outer"
    (outer / "tables/completions").mkdir(parents=True)
    (tmp_path / "link").symlink_to(outer / "tables")
    for inner in (outer / "releases/inner", tmp_path / "link/inner"):
        line = refused(capsys, monkeypatch, str(write_config(tmp_path)), "--storage", str(inner))
        assert f"storage {inner}: lies inside the storage {outer}; set" in line
        assert not inner.exists()


@pytest.mark.parametrize(
    "storage",
    ["foo://bucket", "http://a/b", "s3://", "s3:///a", "s3://b/a?x=1", "s3://b/../a", "file://x/y", "memory://a", " "],
)
def test_what_is_no_address_of_a_storage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    line = refused(capsys, monkeypatch, str(write_config(tmp_path)), "--storage", storage)
    assert "storage: " in line
    assert "s3://bucket/prefix" in line or "behind s3://" in line


@pytest.mark.machinery
def test_a_fault_found_while_running_has_no_stack_trace(tmp_path: Path) -> None:
    config, log = write_config(tmp_path, prompts=["", "x" * 100_000, "a\x00b"]), tmp_path / "log"
    with program([sys.executable, "-m", "flows.pipeline", config], tmp_path / "prefect", log) as started:
        assert started.wait() == 2
    said = log.read_text()
    assert "no usable prompt among 3 rows (1 NUL character, 1 blank, 1 too long)" in said
    assert "Traceback" not in said


def can_mount() -> bool:
    unshare = shutil.which("unshare")
    return (
        bool(unshare)
        and subprocess.run([str(unshare), "-rm", "true"], check=False, capture_output=True).returncode == 0
    )


@pytest.mark.long
@pytest.mark.machinery
@pytest.mark.skipif(not can_mount(), reason="a full disk is made by mounting one, which this system forbids")
def test_a_full_disk_stops_the_run_with_one_line_and_nothing_half_written(tmp_path: Path) -> None:
    config = write_config(tmp_path, storage=tmp_path / "disk/storage", prompts=[f"Why {i}?" for i in range(400)])
    (tmp_path / "disk").mkdir()
    kept = tmp_path / "kept"
    script = (
        f"mount -t tmpfs -o size=160k tmpfs {tmp_path}/disk && {shlex.join(ON_LITTLE)} {config}; "
        f"code=$?; cp -r {tmp_path}/disk/storage {kept}; exit $code"
    )
    log = tmp_path / "log"
    with program(["unshare", "-rm", "sh", "-c", script], tmp_path / "prefect", log) as started:
        code = started.wait()
    said = log.read_text()
    assert code == 2, said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert not (kept / "releases").exists()
    assert not [path for path in kept.rglob("*") if path.suffix == ".partial"]
