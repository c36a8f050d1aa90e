"""People through Label Studio: take what they said, hand out what they are asked.

    queue -> project -> [people] -> exports -> verdicts

Run as `python -m flows.running.review CONFIG [--storage FOLDER] [--pull] [--import FILE ...]`. Without a server the project's files
are loaded into Label Studio by hand, and its exports come back with `--import`. Neither way twice changes anything.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import glob

import httpx
from rich.table import Table

from flows.running.credentials import load_credentials
from flows.running.server import lock_temporary_server, start_server
from flows.running.stopping import ends_at_once
from infra import label_studio, proxies
from infra import storage as stores
from infra.terminal import terminal
from tasks import config as configs
from tasks.config import Config, LabelStudio
from tasks.errors import ConfigError, ReviewError, SafePairsError
from tasks.people.people import counts, put, put_new
from tasks.people.review import HIDDEN, KINDS, Kind, Project, interface_of, is_of, latest, tasks_of, title
from tasks.warehouse import reason

BY_SERVER = "people answer there; the next `make build` takes what they said"
BY_HAND = """in Label Studio, make a project of each .json and .xml there (Settings, Labeling Interface, Code), have people
          answer, export as JSON, and take that in: make review CONFIG=... FILES=export.json"""


@dataclass(frozen=True)
class Pushed:
    """Where people work on one part of a project, and how many tasks came to it."""

    kind: Kind
    url: str
    added: int


def pull(config: Config, root: str) -> int:
    """Take all annotations of this dataset from the server, if there is one; say how many are new or have changed.

    Raises:
        ConfigError: the server's key is missing.
        ReviewError: the server cannot be reached or refuses.
        StorageError: the storage cannot be written.
    """
    server = server_of(config)
    if server is None:
        return 0
    with connected(server) as client:
        ours = [number for number, found in label_studio.projects(client) if is_of(found, config.name)]
        told = [task for number in ours for task in label_studio.export(client, number)]
        return put_new(root, told, server.url.rstrip("/"))


def push(config: Config, root: str, project: Project) -> list[Pushed]:
    """Hand the tasks of `project` that the server does not hold to it, if there is one.

    Raises:
        ConfigError: the server's key is missing.
        ReviewError: the server cannot be reached or refuses.
    """
    server = server_of(config)
    pushed: list[Pushed] = []
    if server is None or config.review is None:
        return pushed
    with connected(server) as client:
        for kind in KINDS:
            if tasks := tasks_of(project.uri, kind):
                number = label_studio.ensure_project(
                    client,
                    title(kind, config.name),
                    interface_of(project.uri, kind),
                    config.review.annotators,
                    config.review.show_models == "before",
                    HIDDEN,
                )
                added = label_studio.add_tasks(client, number, tasks, "subject_id")
                pushed.append(Pushed(kind, f"{server.url.rstrip('/')}/projects/{number}", added))
    return pushed


def server_of(config: Config) -> LabelStudio | None:
    """The server of the configuration."""
    return config.review.label_studio if config.review else None


@contextmanager
def connected(server: LabelStudio) -> Iterator[httpx.Client]:
    """A client of the server; its faults are ours."""
    if fault := proxies.fault():
        raise ConfigError(fault)
    key = os.environ.get(server.key_variable, "").strip()
    if not key:
        raise ConfigError(
            f"review.label_studio: no key for {server.url}; put it into the environment variable {server.key_variable}"
        )
    try:
        with label_studio.connect(server.url, key) as client:
            yield client
    except label_studio.LabelStudioError as error:
        raise ReviewError(str(error)) from None
    except (httpx.InvalidURL, UnicodeError):
        raise ConfigError(
            f"review.label_studio: the address {server.url} or the key in {server.key_variable} is malformed; mend it"
        ) from None


def named(given: str) -> list[str]:
    """The files that a text names, as `make review FILES=` gives it: the file of that name, or names and patterns as in a shell."""
    if not re.search(r"[\s'\"\\*?\[]", given):
        return [given]
    with suppress(*stores.FAULTS, ValueError, ImportError):  # as whoever reads it will say
        if stores.exists(stores.resolve(given)):
            return [given]
    try:
        words = shlex.split(given)
    except ValueError:  # a quote without an end is part of a name
        return [given]
    return [
        file
        for word in words
        for file in (sorted(glob(os.path.expanduser(word))) if is_pattern(word) else []) or [word]
    ]


def is_pattern(word: str) -> bool:
    """Whether it stands for files that fit it: no address does, and no file of that very name."""
    return "://" not in word and not os.path.exists(os.path.expanduser(word))


def take_in(root: str, files: Sequence[str]) -> None:
    """Keep exports that people saved themselves.

    Raises:
        ReviewError: a file cannot be read, or is no export.
        StorageError: the storage cannot be written.
    """
    for file in (file for given in files for file in named(given)):
        try:
            content = stores.read_bytes(stores.resolve(file))
        except (*stores.FAULTS, ValueError, ImportError) as error:
            raise ReviewError(f"{file}: cannot be read: {reason(error)}; give the path of an export") from None
        kept = put(root, content, file)
        terminal().print(f"taken in  {stores.shown(file)} as {kept}", soft_wrap=True)


def hand_out(config: Config, root: str, to_server: bool) -> None:
    """Say where the latest project is, and hand it to the server, if there is one."""
    project = latest(root)
    if project is None:
        terminal().print("project   none yet; a run whose configuration has [review] makes one")
        return
    terminal().print(f"project   {project.uri}: {project.answers:,} answers, {project.pairs:,} pairs", soft_wrap=True)
    for part in push(config, root, project) if to_server else []:
        terminal().print(f"          {part.url}: {part.kind}, {part.added:,} new tasks", soft_wrap=True)
    terminal().print("next      " + (BY_SERVER if server_of(config) else BY_HAND), soft_wrap=True)


def print_counts(root: str) -> None:
    """Say how many annotations there are, of which question and with which problem."""
    table = Table("question", "problem", "annotations")
    for row in counts(root, stores.join(root, "tables")):
        table.add_row(row["question"] or "", row["problem"], f"{row['annotations']:,}")
    terminal().print(table if table.row_count else "people    have said nothing yet")


@ends_at_once()
def main() -> None:
    """Run from the command line; a fault that the user can mend is one line and an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.running.review", description="Exchange work with Label Studio."
    )
    parser.add_argument("config", help="TOML file, for instance flows/configs/demo.toml")
    parser.add_argument("--storage", help="folder for everything that is made, instead of the config's")
    parser.add_argument("--pull", action="store_true", help="take annotations from the server, and hand it new tasks")
    parser.add_argument("--import", nargs="+", default=[], dest="files", metavar="FILE", help="JSON exports to take in")
    arguments = parser.parse_args()
    try:
        config = configs.load(arguments.config, storage=arguments.storage)
        if config.credentials_block:
            lock_temporary_server()
            start_server()
        load_credentials(config)
        root = stores.resolve(config.storage)
        take_in(root, arguments.files)
        if arguments.pull:
            terminal().print(f"pulled    {pull(config, root):,} annotations that are new or have changed")
        print_counts(root)
        hand_out(config, root, arguments.pull)
    except SafePairsError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
