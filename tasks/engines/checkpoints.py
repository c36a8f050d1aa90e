"""Find a model's or an adapter's folder, and tell it from every other.

In: a path as users write it. Out: the folder; its name with the SHA-256 of its files.
"""

import hashlib
from functools import cache
from pathlib import Path

from infra import storage
from tasks.errors import ModelError


def checkpoint_folder(model: str, config: str = "config.json") -> Path:
    """The folder of a local model or adapter; raises ModelError where there is none."""
    folder = Path(storage.resolve(model))
    if not (folder / config).is_file():
        raise ModelError(f"model folder {model}: no {config} there; run `make models` or mend its path in the config")
    return folder


@cache
def checkpoint_identity(model: str, config: str = "config.json") -> str:
    """`<folder name>@<first 16 digits of the SHA-256 over its files' names and bytes>`; raises ModelError."""
    folder = checkpoint_folder(model, config)
    content = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue  # what tools of the hub note beside a download
        content.update(f"{name}\0".encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{folder.name}@{content.hexdigest()[:16]}"
