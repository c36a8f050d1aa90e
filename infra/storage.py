"""Read and write whole files at an address: a local path or a URI of one of the schemes that are named here.

In: addresses as users write them. Out: bytes there, written so that a reader never sees half a file.
"""

import errno
import glob
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import BinaryIO
from urllib.parse import unquote

import fsspec
from botocore.exceptions import BotoCoreError, EndpointConnectionError
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from infra import leftovers, snapshot
from infra.snapshot import Found, Info, Snapshot

FAULTS = (OSError, BotoCoreError)
"""What goes wrong with a disk or with a bucket."""
S3_TRIES = 8
"""Calls of one request, each with botocore's own retries, before a server that is gone is a fault: about a minute."""
SCHEME = re.compile(r"[A-Za-z][\w+.-]*(::[A-Za-z][\w+.-]*)*://")
"""How a URI begins, and a chain of them: `s3://`, `simplecache::s3://`. No absolute path does."""
IN_ENVIRONMENT = "credentials stand in environment variables (AWS_ACCESS_KEY_ID and its like), in no address; take them out of this one"
SHORTEST = 4
"""Characters of a secret that is looked for wherever it stands: fewer are in many words."""
READ_FROM = ("s3", "gs", "gcs", "abfs", "abfss", "az", "https", "http", "hf", "file")
"""Schemes that files are read from. No others: some read whatever the file that they are given tells them to."""
IN_FRONT = ("simplecache", "filecache", "zip", "tar")
"""Schemes that may stand in front of an address in a chain: a cache, an archive."""
FILE = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)
"""How an absolute local path begins that is written as a URI."""
UNFINISHED = re.compile(r".+?(\.(?P<owner>[0-9a-f]{4}-[0-9]+))?\.[0-9a-f]{32}\.partial|tmp_[0-9a-f]{32}\.parquet")
"""Names of what is not whole yet: ours, with the process that writes it, and files of tables that DuckDB writes."""
LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What the system says of a link to nothing, to something below a file, or in a circle."""
AT_ONCE = 32 * 2**20
"""Bytes of a file that are read at once: in a bucket, one request."""
SECONDS_TO_WRITE = 3600
"""A file that is not whole and did not change for so long has no writer any more."""
USER = re.compile(
    r"(?<=://)(?:[^/\s]*:[^/\s]*@|[^/\s:]*:(?!:|\d+(?:/|$))\S*@)|(?<=https://)[^/\s]*@|(?<=http://)[^/\s]*@",
    re.IGNORECASE,
)
"""A user and a password, in which there may be a slash, and whatever stands before a web host."""
QUERY = re.compile(r"[?#]((?!::)[^\s'\"])*")
"""A query or a fragment of an address that stands by itself, whatever its scheme; in a chain the next address follows."""
QUOTED_QUERY = re.compile(r"(?P<before>https?://[^\s?#'\"`]*)[?#][^\s'\"`]*", re.IGNORECASE)
"""The same in a text of any kind, where `?` and `#` mean something in web addresses alone."""


def resolve(uri: str) -> str:
    """The absolute form of a local path, which no longer holds `://`; a URI with a scheme stays as it is.

    In a chain that is said of its last address, which is then a URI: fsspec takes a word there for a scheme.
    """
    if SCHEME.match(uri) and "::" in uri:
        front, _, last = uri.rpartition("::")
        place = resolve(last)
        return f"{front}::{place if SCHEME.match(place) else f'file://{place}'}"
    path = uri[found.end() :] if (found := FILE.match(uri)) else uri
    return path if SCHEME.match(path) else os.path.abspath(os.path.expanduser(path))


def read_fault(uri: str) -> str | None:
    """What keeps `uri` from being an address that files are read from: a path, a URI, a chain that ends in one of them."""
    *front, last = uri.split("::") if SCHEME.match(uri) else [uri]
    if any(link.partition("://")[0] not in IN_FRONT for link in front):
        return f"a chain has {listed(IN_FRONT)} in front of an address, nothing else"
    if not SCHEME.match(last) or FILE.match(last):
        return None
    scheme = last.partition("://")[0]
    if scheme.lower() == "file":
        return "a local file is a path, or file:// and an absolute path"
    if scheme not in READ_FROM:
        return f"files are read from a path, or from {listed(READ_FROM)}"
    return None if scheme.startswith("http") or without_credentials(last) == last else IN_ENVIRONMENT


def root_fault(uri: str) -> str | None:
    """What keeps `uri` from being the address of a storage: a folder, or a bucket and a prefix."""
    if not uri.strip():
        return "it is blank; give a folder or s3://bucket/prefix"
    scheme, found, rest = resolve(uri).partition("://")
    if not found:
        return None if is_unicode(scheme) else "the name of a folder that it is in is not in UTF-8; set one elsewhere"
    if scheme != "s3":
        return "a storage is a folder or s3://bucket/prefix"
    if without_credentials(uri) != uri or "@" in rest.split("/")[0]:
        return IN_ENVIRONMENT
    odd = not rest.split("/")[0] or "?" in rest or {".", ".."} & set(rest.split("/"))
    return "behind s3:// stand a bucket and a prefix, without `?`, `.` and `..`; mend it" if odd else None


def listed(schemes: Sequence[str]) -> str:
    """Schemes for people."""
    return ", ".join(f"{scheme}://" for scheme in schemes)


def below(uri: str, folder: str) -> bool:
    """Whether the file that `uri` names is `folder` or stands in it: links on disk are followed, a chain ends in its file."""
    if "\0" in uri or not is_unicode(uri):  # no file has such a name
        return False
    inner, outer = (resolve(address.split("::")[-1] if SCHEME.match(address) else address) for address in (uri, folder))
    if "://" in inner or "://" in outer:
        if not inner.isprintable():  # some are left out of an address before it is asked for
            return False
        upward = {".", ".."} & set(re.split(r"[/\\]", unquote(inner)))
        return not upward and f"{inner}/".startswith(f"{outer.rstrip('/')}/")
    inner, outer = os.path.realpath(inner), os.path.realpath(outer)
    return os.path.commonpath([inner, outer]) == outer


def shown(uri: str, message: str | None = None) -> str:
    """An address by itself as messages may say it, or a `message` about it: without what may be a credential."""
    text = uri if message is None else message
    if not SCHEME.match(uri):
        return text
    secrets = [found[0].strip("?#@") for kind in (USER, QUERY) for found in kind.finditer(uri)] if message else []
    for secret in secrets:
        for part in (secret, unquote(secret), *unquote(secret).split(":", 1)[1:]):
            text = text.replace(part, "...") if len(part) >= SHORTEST else text
    return QUERY.sub("", USER.sub("", text))


def without_credentials(text: str) -> str:
    """A text of any kind without what may be a credential in the addresses that it quotes: of a name `?` and `#` are part."""
    return QUOTED_QUERY.sub(r"\g<before>", USER.sub("", text))


def join(uri: str, *parts: str) -> str:
    """Addresses join with `/`, on disk and in buckets."""
    return "/".join([uri.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of `uri` and the path inside it; listings are never cached."""
    if "://" not in uri:
        return LocalFileSystem(), os.path.abspath(uri)
    if uri.startswith("s3://"):
        be_patient()
    fs, path = url_to_fs(uri, use_listings_cache=False)
    return fs, path


@cache
def be_patient() -> None:
    """Have s3fs try again where a server does not answer or fails by itself: it may come back within a minute."""
    from s3fs.core import S3FileSystem, add_retryable_error, set_custom_error_handler  # noqa: PLC0415 (takes a second)

    add_retryable_error(EndpointConnectionError)
    set_custom_error_handler(is_of_server)
    S3FileSystem.retries = S3_TRIES


def is_of_server(error: Exception) -> bool:
    """Whether an S3 server said that the fault is its own."""
    status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return bool(status >= 500)


def probe(uri: str) -> None:
    """Write and delete a file in the folder `uri`, without patience; raises one of FAULTS."""
    fs, path = filesystem(join(uri, "probe"))
    if "://" not in uri:
        with tried_at(uri) as probed:
            write_bytes(probed, b"")
        return
    once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    hasty = type(fs)(skip_instance_cache=True, **fs.storage_options | once)
    hasty.retries = 1
    hasty.pipe_file(path, b"")
    hasty.rm_file(path)


@contextmanager
def tried_at(folder: str) -> Iterator[str]:
    """A path in a folder on disk at which the body tries something: of what stands there afterwards nothing stays."""
    path = unfinished(join(folder, "probe"))
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            remove(path)


def free(folder: str) -> int | None:
    """The bytes that are free on the disk of a folder; None where it does not tell."""
    total, _, left = shutil.disk_usage(folder)
    return left if total else None


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    fs, path = filesystem(uri)
    refuse_pipe(uri)
    content: bytes = fs.cat_file(path)
    return content


def refuse_pipe(uri: str) -> None:
    """Raise OSError where `uri` on this disk is a pipe or a device: who opens one waits for whoever writes to it."""
    if "://" not in uri and stat.S_IFMT(os.stat(uri).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        raise OSError(errno.EINVAL, "It is no file", uri)


def write_bytes(uri: str, content: bytes) -> None:
    """Put `content` at `uri` in one step: a rename on disk, one PUT in a bucket."""
    fs, path = filesystem(uri)
    if "://" in uri:
        fs.pipe_file(path, content)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = unfinished(path)
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def unfinished(path: str) -> str:
    """Where a file on disk is written before it is whole."""
    return f"{path}.{leftovers.myself()}.{uuid.uuid4().hex}.partial"


def remove_unfinished(root: str) -> None:
    """Delete what writers that were killed left below the folder `root`: others may be writing there; a bucket shows none."""
    for folder, within, files in os.walk(root) if "://" not in root else ():
        for named in filter(None, map(UNFINISHED.fullmatch, [*within, *files])):
            path = os.path.join(folder, named[0])
            with suppress(OSError):
                is_old = time.time() - os.stat(path).st_mtime > SECONDS_TO_WRITE
                if is_old or leftovers.is_dead(named["owner"] or ""):
                    remove(path)


def is_unfinished(uri: str) -> bool:
    """Whether somebody writes at this address what is not whole yet, by its name."""
    return bool(UNFINISHED.fullmatch(uri.rsplit("/", 1)[-1]))


def exists(uri: str) -> bool:
    """Whether a file or folder stands at `uri`."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def is_no_file(uri: str) -> bool:
    """Whether something stands on this disk at `uri` that is no file and leads to none: a folder, a pipe, a link to nowhere."""
    if "://" in uri:
        return False
    try:
        return not stat.S_ISREG(os.stat(uri).st_mode)
    except OSError as error:
        return error.errno in LEADS_NOWHERE and os.path.islink(uri)


def make_folder(uri: str) -> None:
    """Create a local folder and its parents; buckets have none."""
    if "://" not in uri:
        os.makedirs(uri, exist_ok=True)


def listing(uri: str, suffix: str = "") -> list[str]:
    """Addresses of all files below `uri` that end in `suffix`, sorted; empty where nothing stands."""
    return list(found_below(uri, suffix))


def found_below(uri: str, suffix: str = "") -> dict[str, Info]:
    """The files below `uri` that end in `suffix`, sorted by address; raises OSError where one has a name that nothing takes."""
    fs, path = filesystem(uri)
    scheme = uri.split("://", 1)[0] + "://" if "://" in uri else ""
    # A store with folders of its own names an empty one as if it were a file.
    files = {
        scheme + found: info
        for found, info in sorted(fs.find(path, detail=True).items())
        if found.endswith(suffix) and found != path
    }
    for file in files:
        if not is_unicode(file):
            name = os.fsencode(file.removeprefix(f"{uri}/"))
            raise OSError(errno.EILSEQ, f"{name!r} is no name in UTF-8", file)
    return files


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: not where lone surrogates stand in it, or bytes that were no UTF-8 to begin with."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def look(uris: Iterable[str]) -> dict[str, Info]:
    """The files that stand at these addresses of one store now; an address where none stands is left out."""
    asked = {filesystem(uri)[1]: uri for uri in uris}
    fs = filesystem(next(iter(asked.values()), ""))[0]
    return {asked[path]: info for path, info in snapshot.look(fs, asked).items()}


def reader(found: Found, uri: str) -> fsspec.AbstractFileSystem:
    """What reads the `found` files of the store that `uri` is in: the disk itself, or a snapshot of the bucket."""
    fs, _ = filesystem(uri)
    return Snapshot(fs, {filesystem(file)[1]: info for file, info in found.items()}) if "://" in uri else fs


@contextmanager
def opened(uri: str) -> Iterator[BinaryIO]:
    """The file at `uri` as it stands now, to be read in whatever order; raises FileNotFoundError."""
    fs, path = filesystem(uri)
    refuse_pipe(uri)
    with snapshot.opened(fs, path) if "://" in uri else fs.open(path, "rb") as file:
        yield file


def sha256_of(stream: BinaryIO, tell: Callable[[int], None] = lambda _: None) -> str:
    """The digest of a file, which is read to its end: 64 hexadecimal digits. `tell` hears of each number of bytes read."""
    sha256 = hashlib.sha256()
    while content := stream.read(AT_ONCE):
        sha256.update(content)
        tell(len(content))
    return sha256.hexdigest()


def folders(uri: str) -> list[str]:
    """Addresses of the folders right below `uri`, sorted."""
    fs, path = filesystem(uri)
    scheme = uri.split("://", 1)[0] + "://" if "://" in uri else ""
    return sorted(
        scheme + entry["name"].rstrip("/") for entry in fs.ls(path, detail=True) if entry["type"] == "directory"
    )


def fetch(uri: str, folder: str) -> str:
    """The folder at `uri` as one on this machine: itself, or what a bucket holds, copied into `folder`."""
    if "://" not in uri:
        return uri
    files = found_below(uri)
    places = {file: folder + file.removeprefix(uri.rstrip("/")) for file in files}
    for place in places.values():
        os.makedirs(os.path.dirname(place), exist_ok=True)
    fs, _ = filesystem(uri)
    paths = {file: filesystem(file)[1] for file in files}
    snapshot.fetch(
        fs,
        {paths[file]: info for file, info in files.items()},
        {paths[file]: place for file, place in places.items()},
    )
    return folder


def put(folder: str, uri: str) -> None:
    """Copy all files of a folder on this machine to `uri`."""
    files = listing(folder)
    targets = [uri + file.removeprefix(folder) for file in files]
    if "://" in uri:
        fs, _ = filesystem(uri)
        fs.put(files, [filesystem(target)[1] for target in targets])
        return
    for file, target in zip(files, targets, strict=True):
        write_bytes(target, read_bytes(file))


def remove(uri: str) -> None:
    """Delete the file or folder at `uri`, if any."""
    fs, path = filesystem(uri)
    if fs.exists(path):
        fs.rm(unmagic(uri, path), recursive=True)


def remove_files(uris: Sequence[str]) -> None:
    """Delete these files, in as few requests as the store allows."""
    if uris:
        fs, _ = filesystem(uris[0])
        fs.rm([unmagic(uri, filesystem(uri)[1]) for uri in uris])


def unmagic(uri: str, path: str) -> str:
    """The path inside the file system of `uri`, as what deletes there takes it: a pattern everywhere but on disk."""
    return glob.escape(path) if "://" in uri else path


def move(source: str, target: str) -> None:
    """Rename one file: in one step on disk, as a copy and a deletion in a bucket."""
    fs, path = filesystem(source)
    if "://" not in source:
        os.replace(path, filesystem(target)[1])
        return
    fs.cp_file(path, filesystem(target)[1])
    fs.rm_file(path)


def create(uri: str, content: bytes) -> str | None:
    """Put `content` at `uri` only if nothing stands there: a hard link on disk, `If-None-Match: *` in a bucket.

    A disk without hard links (exFAT, SMB, FUSE) has an empty file there first, made for one alone (`O_EXCL`), which the content
    then takes the place of: whoever is killed in between leaves it empty, and nobody's.

    Gives the ETag of what it wrote; a disk has none. A store that does not know conditional writes overwrites instead.

    Raises:
        FileExistsError: something stands at `uri`.
    """
    fs, path = filesystem(uri)
    if "://" in uri:
        if exists(uri):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), uri)
        with conditions(uri):
            return told_etag(fs.pipe_file(path, content, mode="create"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = unfinished(path)
    try:
        with open(partial, "wb") as file:
            file.write(content)
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # of many numbers: EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EACCES
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(partial)
    return None


def replace(uri: str, content: bytes, etag: str) -> str:
    """Put `content` at `uri` in a bucket only if what stands there has this `etag`; gives the new one.

    Raises:
        FileExistsError: something else stands there by now.
    """
    fs, path = filesystem(uri)
    with conditions(uri):
        return told_etag(fs.pipe_file(path, content, IfMatch=etag)) or ""


def discard(uri: str, etag: str) -> None:
    """Delete what stands at `uri` in a bucket only if it has this `etag`.

    A store that does not know conditional deletes deletes whatever stands there.

    Raises:
        FileExistsError: something else stands there by now.
    """
    fs, path = filesystem(uri)
    bucket, _, key = path.partition("/")
    with conditions(uri):
        fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=etag)


def told_etag(answer: object) -> str | None:
    """The ETag in what a store says of a PUT. Who asks for it afterwards may be told that of another's content."""
    return str(answer["ETag"]) if isinstance(answer, dict) else None


@contextmanager
def conditions(uri: str) -> Iterator[None]:
    """Turn what a bucket says where the condition of a request does not hold into FileExistsError."""
    try:
        yield
    except OSError as error:
        code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        if code in ("PreconditionFailed", "ConditionalRequestConflict") or isinstance(error, FileExistsError):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), uri) from None
        raise


def etag(uri: str) -> str | None:
    """What tells two contents of an object in a bucket apart; None where nothing stands."""
    fs, path = filesystem(uri)
    try:
        found: str = fs.info(path)["ETag"]
    except FileNotFoundError:
        return None
    return found


def move_folder(source: str, target: str, last: str) -> None:
    """Move a finished folder to `target`: in one step on disk; file by file in a bucket, the file `last` at the end.

    Readers of a bucket know a finished folder by that file, which exactly one of several writers gets to put there.

    Raises:
        FileExistsError: something stands at `target`.
    """
    if "://" not in source:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
        return
    if exists(join(target, last)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    remove(target)
    fs, _ = filesystem(source)
    files = [file for file in listing(source) if file != join(source, last)]
    fs.copy(
        [filesystem(file)[1] for file in files],
        [filesystem(target + file.removeprefix(source))[1] for file in files],
    )
    create(join(target, last), read_bytes(join(source, last)))
    remove(source)
