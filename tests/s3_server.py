"""A real S3 server, SeaweedFS, on 127.0.0.1, for as long as a test run needs it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s3fs.core import aiobotocore

ACCESS_KEY, SECRET_KEY = "tests", "tests-secret"
PORTS = ("s3.port", "master.port", "volume.port", "filer.port", "s3.port.iceberg", "s3.port.lance")


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
    bound = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64"]
    return [weed, "server", f"-dir={folder}", "-s3", f"-s3.config={settings}", *bound, *options]


@contextmanager
def s3_server(folder: Path, ports: list[int]) -> Iterator[None]:
    """Serve buckets from `folder` until the body ends."""
    starting = command(folder, ports)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(starting, stdout=log, stderr=log)
        try:
            wait(server, f"http://127.0.0.1:{ports[0]}/healthz", folder / "log")
            yield
        finally:
            server.kill()
            server.wait()


def wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Ask until the server answers; an answer that refuses is one."""
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)  # noqa: S310 (a server that we started)
        except urllib.error.HTTPError:
            return
        except OSError:
            continue
        return
    raise AssertionError(log.read_text()[-2000:])


Asked = Counter[tuple[str, str]]
"""How often each operation was asked for of each key, or of the keys that begin so."""


@contextmanager
def counted() -> Iterator[Asked]:
    """Counts the requests of this process to S3 while the body runs.

    The lease is left out: how often it is renewed is a matter of time.
    """
    asked: Asked = Counter()
    clients = aiobotocore.client.AioBaseClient
    call = clients._make_api_call

    async def call_and_count(client: Any, operation: str, given: dict[str, Any]) -> Any:
        key = given.get("Key") or given.get("Prefix") or ""
        if not key.endswith("lease.json"):
            asked[operation, key] += 1
        return await call(client, operation, given)

    clients._make_api_call = call_and_count
    try:
        yield asked
    finally:
        clients._make_api_call = call


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
