"""Start a Prefect server on 127.0.0.1 and serve the deployment from it, until Ctrl-C or SIGTERM, which end all of it.

In: a port, and what `flows.running.serve` takes. Out: the server's log, and two lines that say how to log in when the login is
made. What is left where this is killed, its next start or the next run ends. Whoever calls the API has to log in: with
`PREFECT_SERVER_API_AUTH_STRING`, or with what is made at the first start and kept in `<PREFECT_HOME>/login`, which nobody else
can read. Run as `python -m infra.serve PORT CRON CONFIG PROMPTS STORAGE`.
"""

import http.client
import os
import secrets
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from infra import prefect_settings
from infra.leftovers import own

USER = "safepairs"
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 20.0
SECONDS_TO_ANSWER = 10.0


def login(home: Path) -> str:
    """The login as `user:password`: that of the environment, or the one that is kept in `home`, made if there is none."""
    kept = home / "login"
    made = f"{USER}:{secrets.token_urlsafe(24)}"
    given = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    try:
        make_home(home)
        if given:
            return given
        with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made)
    except OSError as error:
        if given or kept.is_file():
            return given or known(kept)
        sys.exit(f"error: PREFECT_HOME {home}: cannot be written: {error.strerror}; set it to a folder that can")
    sys.stdout.write(f"The login of the Prefect server is {made}\nIt is kept in {kept}, and is not shown again.\n")
    sys.stdout.flush()
    return made


def make_home(home: Path) -> None:
    """Make the folder of a Prefect server one that only its owner can enter: its database holds the keys in Secret blocks.

    A group that may write there may still. Another user's stays as it is, and so does one that is there for everybody, as
    `/tmp` is; raises OSError.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.stat()
    others = stat.S_IRWXO if found.st_mode & stat.S_IWGRP else stat.S_IRWXG | stat.S_IRWXO
    if found.st_mode & others and found.st_uid == os.getuid() and not found.st_mode & stat.S_ISVTX:
        with suppress(PermissionError):
            home.chmod(stat.S_IMODE(found.st_mode) & ~others)


def known(kept: Path) -> str:
    """The login in the file `kept`; ends the process where others can read it, or it is none."""
    found = kept.read_text(errors="replace").strip()
    if kept.stat().st_mode & 0o077:
        sys.exit(
            f"error: {kept}: others can read the login; delete it, and a new one is made, or set PREFECT_SERVER_API_AUTH_STRING"
        )
    if not all(found.partition(":")) or not found.isprintable():
        sys.exit(f"error: {kept}: is no login as user:password; delete it, and a new one is made")
    return found


def environment(port: int, auth: str) -> dict[str, str]:
    """What the server and its clients go by: who is let in, from which pages, and where the API is."""
    pages = f"http://127.0.0.1:{port},http://localhost:{port}"
    return (
        {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": pages}
        | os.environ
        | {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_API_AUTH_STRING": auth,
            "PREFECT_SERVER_API_AUTH_STRING": auth,
        }
    )


def wait_until_healthy(server: subprocess.Popen[bytes], port: int, told: Sequence[int]) -> None:
    """Wait for the server that was started, or for a signal.

    Ends the process if the server ends, as it does where another one has its port.
    """
    while server.poll() is None and not told:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=SECONDS_TO_ANSWER):
                break
        except (OSError, http.client.HTTPException):
            time.sleep(SECONDS_BETWEEN_LOOKS)
    time.sleep(2 * SECONDS_BETWEEN_LOOKS)
    if server.poll() is not None and not told:
        sys.exit(f"error: the Prefect server did not start; if another one answers on port {port}, give another PORT")


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask each process to end, the last one first, and make it."""
    for process in reversed(processes):
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(port: int, *served: str) -> int:
    """Serve until one of the two processes ends, or a signal comes; the exit code."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Nothing is left at once: a process that is just being started would not be known yet.
        signal.signal(number, lambda number, _: told.append(number))
    prefect_settings.check()
    own()
    values = environment(port, login(Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")))
    prefect = str(Path(sys.executable).parent / "prefect")
    server = [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(subprocess.Popen(server, env=values))
        wait_until_healthy(started[0], port, told)
        if not told:
            started.append(subprocess.Popen([sys.executable, "-m", "flows.running.serve", *served], env=values))
        while not told and all(process.poll() is None for process in started):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return 128 + told[0] if told else max(process.poll() or 0 for process in started)
    finally:
        end(started)


if __name__ == "__main__":
    if not sys.argv[1].isdecimal():
        sys.exit(f"error: PORT={sys.argv[1]} is no number")
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
