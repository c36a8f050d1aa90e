import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import lock, storage
from tasks.errors import SafePairsError
from tests.disks import deny
from tests.waiting import until


def in_parallel(*works: Callable[[], object]) -> list[object]:
    """What each returns or raises; all start at the same moment."""
    start = threading.Barrier(len(works))
    results: list[object] = [None] * len(works)

    def work(number: int) -> None:
        start.wait()
        try:
            results[number] = works[number]()
        except OSError as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_several_creators_exactly_one_wins_and_its_content_stays(root: str) -> None:
    uri = storage.join(root, "claims", "v")
    results = in_parallel(*(lambda n=n: storage.create(uri, b"%d" % n) for n in range(8)))
    winners = [number for number, result in enumerate(results) if not isinstance(result, FileExistsError)]
    assert len(winners) == 1
    assert results[winners[0]] == (storage.etag(uri) if "://" in root else None)
    assert storage.read_bytes(uri) == b"%d" % winners[0]


NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV)
"""What disks say that know no hard links: exFAT, SMB, FUSE."""


@pytest.mark.parametrize("number", NO_LINKS)
def test_of_several_creators_on_a_disk_without_hard_links_exactly_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    deny(monkeypatch, "os.link", number)
    test_of_several_creators_exactly_one_wins_and_its_content_stays(str(tmp_path))
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["v"]


def test_a_creator_that_finds_no_disk_below_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, "os.link", errno.EROFS)
    deny(monkeypatch, "os.open", errno.EROFS)
    with pytest.raises(OSError, match="Read-only"):
        storage.create(str(tmp_path / "v"), b"")
    assert not list(tmp_path.iterdir())


NAMES = ["run=3", "v[1]", "a*b", "[!a]", "50%", "#1", "two words", "it's", "(a)", "caf\u00e9"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_looks_like_a_pattern_is_a_name(root: str, name: str, tmp_path: Path) -> None:
    folder, beside = storage.join(root, "named", name), storage.join(root, "named", "a1b")
    for uri in (folder, beside):
        storage.write_bytes(storage.join(uri, "a.parquet"), b"a")
        storage.write_bytes(storage.join(uri, "below/b.parquet"), b"b")
    assert [file.removeprefix(folder) for file in storage.listing(folder)] == ["/a.parquet", "/below/b.parquet"]
    local = Path(storage.fetch(folder, str(tmp_path / "fetched")))
    assert [(local / file).read_bytes() for file in ("a.parquet", "below/b.parquet")] == [b"a", b"b"]
    storage.move(storage.join(folder, "a.parquet"), storage.join(folder, "c.parquet"))
    storage.write_bytes(storage.join(folder, "manifest.json"), b"{}")
    storage.remove_files([storage.join(folder, "c.parquet")])
    storage.move_folder(folder, storage.join(root, "moved", name), last="manifest.json")
    assert storage.listing(folder) == []
    assert len(storage.listing(storage.join(root, "moved", name))) == 2
    storage.remove(storage.join(root, "moved", name))
    assert storage.listing(storage.join(root, "moved", name)) == []
    assert len(storage.listing(beside)) == 2


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://h/x.csv?X-Amz-Signature=secret&b=c", "https://h/x.csv"),
        ("simplecache::https://user:secret@h/x.csv?sig=secret", "simplecache::https://h/x.csv"),
        ("zip://in.csv::https://h/a.zip?sig=secret", "zip://in.csv::https://h/a.zip"),
        ("zip://in.csv?a=secret::s3://b/a.zip", "zip://in.csv::s3://b/a.zip"),
        ("https://token@h/x.csv", "https://h/x.csv"),
        ("HTTPS://token@h/x.csv", "HTTPS://h/x.csv"),
        ("https://user:p@ss@h/x.csv", "https://h/x.csv"),
        ("https://h/x.csv#sig=secret", "https://h/x.csv"),
        ("zip://in.csv::https://token@h/a.zip", "zip://in.csv::https://h/a.zip"),
        ("abfs://container@account/x.csv", "abfs://container@account/x.csv"),
        ("s3://AKIA:se/cr+et@bucket/x.csv", "s3://bucket/x.csv"),
        ("https://user:se/cret@h/x.csv", "https://h/x.csv"),
        ("https://h:8080/a@b/x.csv", "https://h:8080/a@b/x.csv"),
        ("http://[::1]:80/a@b/x.csv", "http://[::1]:80/a@b/x.csv"),
        ("zip://in.csv::s3://b/a@b.zip", "zip://in.csv::s3://b/a@b.zip"),
        ("/data/what?/x.csv", "/data/what?/x.csv"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_credential(uri: str, shown: str) -> None:
    assert storage.shown(uri) == shown
    if "secret" in uri:
        secrets = ("secret", "X-Amz", "sig=")
        said = storage.shown(uri, f'Invalid "{uri}" of {uri.partition("://")[2]}, {uri.rpartition("@")[0]}')
        assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:pw@h:1/v1: is it there?", "at http://h:1/v1: is it there?"),
        ("no 's3://AKIA:a/b@bucket/x' and 'https://h/x?sig=1#2'; mend", "no 's3://bucket/x' and 'https://h/x'; mend"),
        ("/data/what?/a:b@c, s3://b/#1/x", "/data/what?/a:b@c, s3://b/#1/x"),
        ("`https://token@h/x?key=1` says 404?", "`https://h/x` says 404?"),
        ("`Https://token@h/x?key=1` says 404?", "`Https://h/x` says 404?"),
    ],
)
def test_a_text_is_said_without_what_may_be_a_credential(text: str, shown: str) -> None:
    assert str(SafePairsError(text)) == shown


@pytest.mark.parametrize(
    "uri", ["s3://key:secret@bucket/x.csv", "s3://key:se/cret@bucket/x.csv", "zip://a.csv::gs://key:secret@b/a.zip"]
)
def test_credentials_of_a_bucket_are_refused_in_its_address(uri: str) -> None:
    assert storage.read_fault(uri) == storage.IN_ENVIRONMENT
    assert uri.startswith("zip") or storage.root_fault(uri) == storage.IN_ENVIRONMENT


@pytest.mark.parametrize(
    "uri",
    [
        "a.csv",
        "~/a.csv",
        "/data/what?/a::b.csv",
        "file:///data/a.csv",
        "FILE://localhost/data/a.csv",
        "s3://b/a.csv",
        "hf://datasets/a/b.parquet",
        "https://h/a.csv?sig=x",
        "zip://in.csv::simplecache::https://h/a.zip?sig=x",
        "tar://in.csv::/data/a.tar",
    ],
)
def test_files_are_read_from_known_schemes(uri: str) -> None:
    assert storage.read_fault(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "reference://p::/etc/passwd",
        "reference://p",
        "zip://in.csv",
        "zip://in.csv::reference://p::/etc/passwd",
        "https://h/a::file:///etc/passwd",
        "simplecache::reference::file:///etc/passwd",
        "blockcache::file:///data/a.csv",
        "ssh://h/a.csv",
        "ftp://h/a.csv",
        "file://host/a.csv",
        "simplecache::file://a.csv",
        "S3://b/a.csv",
        "data://text",
        "local:///etc/passwd",
        "dir://a::s3://b",
    ],
)
def test_files_are_read_from_no_other_scheme(uri: str) -> None:
    assert storage.read_fault(uri)


def test_what_stands_below_a_folder_is_found_out_behind_every_link(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/in").symlink_to(tmp_path / "other")
    (tmp_path / "link").symlink_to(tmp_path / "allowed")
    folder = str(tmp_path / "allowed")
    for inside in ("a.csv", "../allowed/a.csv", "../link/a.csv", ""):
        assert storage.below(f"{folder}/{inside}", folder)
        assert storage.below(f"file://{folder}/{inside}", folder)
        assert storage.below(f"zip://a::{folder}/{inside}", str(tmp_path / "link"))
    for outside in (f"{folder}/../a", f"{folder}2/a", f"{folder}/in/a", f"zip://{folder}/a::/etc/x", "s3://b/a", "/"):
        assert not storage.below(outside, folder)
    assert storage.below("simplecache::s3://b/p/a.csv", "s3://b/p/")
    for outside in ("s3://b/p2/a", "s3://b/p/../a", "s3://b2/p/a", "s3://b/p/%2e%2e/a", "https://b/p/a", f"{folder}/a"):
        assert not storage.below(outside, "s3://b/p")


@pytest.mark.parametrize(
    ("uri", "last"),
    [
        ("zip://in.csv::reference", "file:///here/reference"),
        ("zip://in.csv::data:x", "file:///here/data:x"),
        ("simplecache::file:///data/a.csv", "file:///data/a.csv"),
        ("zip://in.csv::simplecache::s3://b/a.zip", "s3://b/a.zip"),
    ],
)
def test_what_a_chain_ends_in_is_no_scheme_but_the_address_that_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str, last: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert storage.resolve(uri).rpartition("::")[2] == last.replace("/here", f"{tmp_path}/here")


def test_a_path_is_a_path_whatever_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("a::b/c", "x y://z", f"{tmp_path}/a://b", "~no-such-user/x", f"file://{tmp_path}/x"):
        resolved = storage.resolve(path)
        assert resolved.startswith(f"{tmp_path}/")
        assert "://" not in resolved
        storage.write_bytes(resolved, path.encode())
        assert storage.read_bytes(resolved) == path.encode()


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b'{"who": 3}', b"[" * 100_000])
def test_a_lock_that_says_nothing_is_held_all_the_same_and_taken_when_it_is_not(
    monkeypatch: pytest.MonkeyPatch, root: str, content: bytes
) -> None:
    monkeypatch.setattr(lock, "SECONDS_TO_LIVE", 0.1)
    place = storage.join(root, "lease.json" if "://" in root else ".lock")
    storage.write_bytes(place, content)
    with lock.exclusive(root):
        if "://" not in root:
            Path(place).write_bytes(content)
            with pytest.raises(lock.Held), lock.exclusive(root):
                pass
    with lock.exclusive(root) as still_held:
        assert still_held()


def test_a_link_in_the_place_of_a_lock_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for target in ("precious", "absent"):
        (tmp_path / ".lock").symlink_to(tmp_path / target)
        with pytest.raises(OSError, match="symbolic links"), lock.exclusive(str(tmp_path)):
            pass
        (tmp_path / ".lock").unlink()
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "absent").exists()


def test_a_name_that_is_no_utf8_is_told_as_it_is_by_every_listing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/\xff\x1b[2J.json")).touch()
    for listed in (storage.listing, storage.found_below):
        assert not listed(str(tmp_path), ".parquet")
        with pytest.raises(OSError, match=r"b'a/\\xff\\x1b\[2J\.json' is no name in UTF-8"):
            listed(str(tmp_path), ".json")


def test_a_folder_is_moved_whole(root: str) -> None:
    source, target = storage.join(root, "candidates", "a"), storage.join(root, "releases", "1")
    for name in ("data/b.parquet", "README.md", "manifest.json"):
        storage.write_bytes(storage.join(source, name), name.encode())
    storage.move_folder(source, target, last="manifest.json")
    assert [file.removeprefix(target) for file in storage.listing(target)] == [
        "/README.md",
        "/data/b.parquet",
        "/manifest.json",
    ]
    assert storage.listing(source) == []
    assert storage.read_bytes(storage.join(target, "data/b.parquet")) == b"data/b.parquet"


def test_a_folder_is_not_moved_over_another(root: str) -> None:
    source, target = storage.join(root, "candidates", "a"), storage.join(root, "releases", "1")
    for folder in (source, target):
        storage.write_bytes(storage.join(folder, "manifest.json"), folder.encode())
    with pytest.raises(OSError, match=r"exist|not empty"):
        storage.move_folder(source, target, last="manifest.json")
    assert storage.read_bytes(storage.join(target, "manifest.json")) == target.encode()


def test_a_reader_of_a_bucket_sees_the_last_file_last(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = f"{bucket}/seen/candidates/a", f"{bucket}/seen/releases/1"
    names = ("a.parquet", "manifest.json", "z.parquet")
    for name in names:
        storage.write_bytes(storage.join(source, name), name.encode())
    seen: list[list[str]] = []
    create = storage.create

    def watched(uri: str, content: bytes) -> None:
        seen.append([file.removeprefix(f"{target}/") for file in storage.listing(target)])
        create(uri, content)

    monkeypatch.setattr(storage, "create", watched)
    storage.move_folder(source, target, last="manifest.json")
    assert seen == [["a.parquet", "z.parquet"]]
    assert len(storage.listing(target)) == 3


def test_what_a_killed_move_left_in_a_bucket_is_not_in_the_next_one(bucket: str) -> None:
    source, target = f"{bucket}/left/candidates/a", f"{bucket}/left/releases/1"
    storage.write_bytes(storage.join(target, "old.parquet"), b"old")
    for name in ("new.parquet", "manifest.json"):
        storage.write_bytes(storage.join(source, name), b"new")
    storage.move_folder(source, target, last="manifest.json")
    assert [file.rsplit("/", 1)[-1] for file in storage.listing(target)] == ["manifest.json", "new.parquet"]


def test_one_run_at_a_time_holds_a_storage(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    beats_of_a_life = lock.SECONDS_TO_LIVE / lock.SECONDS_BETWEEN_BEATS
    lease = storage.join(root, "lease.json")
    watched: list[float] = []

    def sleep(seconds: float) -> None:
        """As long as the holder takes for a beat, however long that is."""
        watched.append(seconds)
        seen = storage.etag(lease)
        until(lambda: storage.etag(lease) != seen)

    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.05)
    monkeypatch.setattr(lock, "sleep", sleep)
    with lock.exclusive(root), pytest.raises(lock.Held, match="process"), lock.exclusive(root):
        pass
    with lock.exclusive(root):
        pass
    assert watched == ([lock.SECONDS_TO_LIVE] if "://" in root else [])
    assert beats_of_a_life >= 3


def test_a_storage_is_let_go_when_its_holder_fails(root: str) -> None:
    with pytest.raises(ZeroDivisionError), lock.exclusive(root):
        raise ZeroDivisionError
    with lock.exclusive(root):
        pass


def test_the_lease_of_a_run_that_was_killed_is_taken_over(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "sleep", lambda seconds: None)
    root = f"{bucket}/killed"
    storage.write_bytes(f"{root}/lease.json", lock.content("killed", 7))
    with lock.exclusive(root):
        assert b"killed" not in storage.read_bytes(f"{root}/lease.json")


def test_a_holder_hears_that_its_lease_was_taken_over(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.05)
    root = f"{bucket}/taken"
    with lock.exclusive(root) as still_held:
        assert still_held()
        storage.write_bytes(f"{root}/lease.json", lock.content("another", 0))
        until(lambda: not still_held())
    assert b"another" in storage.read_bytes(f"{root}/lease.json")


@pytest.mark.parametrize("said", [FileExistsError, FileNotFoundError])
def test_a_holder_hears_that_its_lease_is_gone(
    bucket: str, monkeypatch: pytest.MonkeyPatch, said: type[OSError]
) -> None:
    replace = storage.replace

    def replace_what_stands(uri: str, content: bytes, etag: str) -> str:
        """As stores do, of which some say that the condition does not hold, and others that nothing stands there."""
        if storage.exists(uri):
            return replace(uri, content, etag)
        raise said(uri)

    monkeypatch.setattr(storage, "replace", replace_what_stands)
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.05)
    root = f"{bucket}/lease-is-gone"
    with lock.exclusive(root) as still_held:
        storage.remove(f"{root}/lease.json")
        until(lambda: not still_held())
    assert not storage.exists(f"{root}/lease.json")


def test_a_beat_that_was_sent_twice_is_a_beat(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.05)
    root = f"{bucket}/sent-twice"
    replace = storage.replace
    beats: list[str] = []

    def send_twice(uri: str, content: bytes, etag: str) -> str:
        beats.append(replace(uri, content, etag))
        return replace(uri, content, etag)

    monkeypatch.setattr(storage, "replace", send_twice)
    with lock.exclusive(root) as still_held:
        until(lambda: len(beats) > 2 or not still_held())
        assert still_held()
    assert not storage.exists(f"{root}/lease.json")


def another_run_takes(root: str) -> None:
    storage.write_bytes(f"{root}/lease.json", lock.content("another", 0))


def test_a_run_that_was_stopped_before_it_began_to_beat_does_not_beat_over_another_one(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{bucket}/stopped"
    create = storage.create

    def create_and_stop(uri: str, content: bytes) -> str | None:
        tag = create(uri, content)
        another_run_takes(root)
        return tag

    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.05)
    monkeypatch.setattr(storage, "create", create_and_stop)
    with lock.exclusive(root) as still_held:
        until(lambda: not still_held())
    assert b"another" in storage.read_bytes(f"{root}/lease.json")


def test_a_run_that_was_stopped_at_its_end_leaves_the_lease_of_another_one(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{bucket}/ended"
    read = storage.read_bytes

    def read_and_stop(uri: str) -> bytes:
        content = read(uri)
        another_run_takes(root)
        return content

    with monkeypatch.context() as patched, lock.exclusive(root):
        patched.setattr(storage, "read_bytes", read_and_stop)
    assert b"another" in storage.read_bytes(f"{root}/lease.json")


@pytest.mark.parametrize("in_time", [True, False])
def test_of_two_runs_that_watch_a_dead_lease_one_takes_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    root = f"{bucket}/watched/{in_time}"
    replace = storage.replace

    def replace_too_late(uri: str, content: bytes, etag: str) -> str:
        another_run_takes(root)
        return replace(uri, content, etag)

    storage.write_bytes(f"{root}/lease.json", lock.content("killed", 7))
    monkeypatch.setattr(lock, "sleep", lambda seconds: another_run_takes(root) if in_time else None)
    monkeypatch.setattr(storage, "replace", replace_too_late)
    with pytest.raises(lock.Held, match="process"), lock.exclusive(root):
        pass
    assert b"another" in storage.read_bytes(f"{root}/lease.json")


def test_a_lease_that_ends_while_another_run_watches_was_held(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = f"{bucket}/let-go"
    storage.write_bytes(f"{root}/lease.json", lock.content("ends", 7))
    monkeypatch.setattr(lock, "sleep", lambda seconds: storage.remove(f"{root}/lease.json"))
    with pytest.raises(lock.Held, match="ended"), lock.exclusive(root):
        pass


def test_a_store_without_etags_is_held_by_nobody() -> None:
    with pytest.raises(OSError, match="ETag"), lock.exclusive("memory://held"):
        pass
    assert storage.listing("memory://held") == []


@pytest.mark.timeout(30)
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    uri = str(tmp_path / "pipe")
    with pytest.raises(OSError, match="It is no file"):
        storage.read_bytes(uri)
    with pytest.raises(OSError, match="It is no file"), storage.opened(uri):
        pass
