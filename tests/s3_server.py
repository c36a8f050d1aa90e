"""A real S3 server, SeaweedFS, on 127.0.0.1, for as long as a test run needs it."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import s3fs
from botocore.exceptions import BotoCoreError, ClientError
from s3fs.core import aiobotocore

from tests.waiting import Late, until

ACCESS_KEY, SECRET_KEY = "tests", "tests-secret"
PORTS = ("s3.port", "master.port", "volume.port", "filer.port", "s3.port.iceberg", "s3.port.lance")
SECONDS_TO_START = 120


def environment(port: int) -> dict[str, str]:
    """What clients of the server need."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }


def command(folder: Path, ports: list[int]) -> list[str]:
    """What starts the server, with buckets in `folder`; its settings are written there."""
    folder.mkdir(exist_ok=True)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    settings = folder / "s3.json"
    settings.write_text(json.dumps({"identities": [identity]}))
    weed = str(Path(sys.executable).with_name("weed"))
    options = [f"-{name}={port}" for name, port in zip(PORTS, ports, strict=True)]
    # Each new bucket takes seven volumes, of eight that a server has by default: a second one could get none.
    bound = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=100"]
    return [weed, "server", f"-dir={folder}", "-s3", f"-s3.config={settings}", *bound, *options]


@contextmanager
def s3_server(folder: Path, ports: list[int]) -> Iterator[None]:
    """Serve buckets from `folder` until the body ends."""
    server = start(folder, ports)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def start(folder: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    """A server that holds what it is given; a start that fails is tried once more."""
    starting, files = command(folder, ports), client(ports[0])
    for _ in range(2):
        with (folder / "log").open("ab") as log:
            server = subprocess.Popen(starting, stdout=log, stderr=log)
        with suppress(Late):
            until(lambda: server.poll() is not None or holds(files), SECONDS_TO_START)  # noqa: B023
            if server.poll() is None:
                return server
        server.kill()
        server.wait()
    raise AssertionError((folder / "log").read_text(errors="replace")[-2000:])


def client(port: int) -> s3fs.S3FileSystem:
    """What asks the server once."""
    files = s3fs.S3FileSystem(
        key=ACCESS_KEY,
        secret=SECRET_KEY,
        endpoint_url=f"http://127.0.0.1:{port}",
        config_kwargs={"retries": {"total_max_attempts": 1}},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    files.retries = 1
    return files


def holds(files: s3fs.S3FileSystem) -> bool:
    """Whether a file can be written and read again: the server answers before its volumes are there."""
    try:
        files.makedirs("ready", exist_ok=True)
        files.pipe_file("ready/file", b"written")
        return bool(files.cat_file("ready/file") == b"written")
    except (OSError, BotoCoreError):
        return False


ANSWERS = (404, 412)
"""What says no and is an answer: nothing stands there, or a condition does not hold. Others are asked again by s3fs."""


class Asked(Counter[tuple[str, str]]):
    """How often each operation was done on each key, or on the keys that begin so; and the bytes that were read."""

    bytes_read = 0


@contextmanager
def counted() -> Iterator[Asked]:
    """Counts what S3 does for this process while the body runs.

    What a busy server failed to answer is left out, since s3fs asks again; and the lease, since how often it is renewed is a
    matter of time.
    """
    asked = Asked()
    clients = aiobotocore.client.AioBaseClient
    call = clients._make_api_call

    async def call_and_count(client: Any, operation: str, given: dict[str, Any]) -> Any:
        key = given.get("Key") or given.get("Prefix") or ""
        done = (operation, key)
        if key.endswith("lease.json"):
            return await call(client, operation, given)
        try:
            answer = await call(client, operation, given)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in ANSWERS:
                asked[done] += 1
            raise
        if operation == "GetObject":
            answer["Body"] = Read(answer["Body"], asked, done)
        else:
            asked[done] += 1
        return answer

    clients._make_api_call = call_and_count
    try:
        yield asked
    finally:
        clients._make_api_call = call


class Read:
    """The body of an answer, which counts once it is read: a connection may be lost before."""

    def __init__(self, body: Any, asked: Asked, done: tuple[str, str]) -> None:
        self.body = body
        self.asked = asked
        self.done: tuple[str, str] | None = done

    async def read(self, *most: int) -> bytes:
        content: bytes = await self.body.read(*most)
        if self.done:
            self.asked[self.done] += 1
            self.done = None
        self.asked.bytes_read += len(content)
        return content

    def close(self) -> None:
        self.body.close()


def operations(asked: Asked) -> dict[str, int]:
    """How often each operation was asked for."""
    found: Counter[str] = Counter()
    for (operation, _), times in asked.items():
        found[operation] += times
    return dict(found)


def most_asked(asked: Asked) -> int:
    """How often the key was asked for that was asked for most."""
    found: Counter[str] = Counter()
    for (_, key), times in asked.items():
        found[key] += times
    return max(found.values())
