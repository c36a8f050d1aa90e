"""Find a model's or an adapter's folder, and tell it from every other.

In: a path as users write it. Out: the folder; its name with the SHA-256 of its files. A folder of `make models` must hold what
`embedded_models.sha256` says, byte for byte.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from infra import storage
from tasks.errors import ModelError

EMBEDDED = Path(__file__).with_name("embedded_models.sha256")
"""Lines of sha256sum, which reads them too: `cd .models && sha256sum --check ../tasks/engines/embedded_models.sha256`."""


def checkpoint_folder(model: str, config: str = "config.json") -> Path:
    """The folder of a local model or adapter; raises ModelError where there is none."""
    folder = Path(storage.resolve(model))
    if not (folder / config).is_file():
        raise ModelError(f"model folder {model}: no {config} there; run `make models` or mend its path in the config")
    return folder


@cache
def checkpoint_identity(model: str, config: str = "config.json") -> str:
    """`<folder name>@<first 16 digits of the SHA-256 over its files' names and bytes>`.

    Raises:
        ModelError: there is no such folder, or it is an embedded model's and holds something else.
    """
    folder = checkpoint_folder(model, config)
    found = file_digests(folder)
    if folder.parent.name == ".models":
        check_embedded(folder, folder.name, found)
    content = hashlib.sha256()
    for name, sha256 in found.items():
        content.update(f"{name}\0".encode() + bytes.fromhex(sha256))
    return f"{folder.name}@{content.hexdigest()[:16]}"


def file_digests(folder: Path) -> dict[str, str]:
    """By its path below the folder, the SHA-256 of each file; hidden ones are what tools of the hub note beside a download."""
    found: dict[str, str] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            with file.open("rb") as stream:
                found[str(name)] = storage.sha256_of(stream)
    return found


def embedded_digests(name: str) -> dict[str, str]:
    """The SHA-256 of each file of the embedded model of this name; nothing if there is none."""
    lines = (line.split(maxsplit=1) for line in EMBEDDED.read_text(encoding="utf-8").splitlines())
    return {file.removeprefix(f"{name}/"): sha256 for sha256, file in lines if file.startswith(f"{name}/")}


def check_embedded(folder: Path, name: str, found: Mapping[str, str]) -> None:
    """Raise ModelError where a folder holds other files than the embedded model of this name, if there is one."""
    known = embedded_digests(name)
    for file in sorted(known.keys() | found.keys()) if known else ():
        if known.get(file) != found.get(file):
            raise ModelError(
                f"model file {folder / file} {fault(file in known, found.get(file))} {EMBEDDED.name} says; delete {folder} "
                "and run `make models`, or keep a model of your own under another name"
            )


def fault(is_known: bool, sha256: str | None) -> str:
    """What is wrong with a file."""
    if sha256 is None:
        return "is not there, as"
    return f"has SHA-256 {sha256}, which is not what" if is_known else "is more than"
