"""Imports run one way, also those that wait until they are needed."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("expectations", "flows", "infra", "tasks")
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """What a module names in its imports, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (inner & PATHS.keys()) or {str(node.module)}


def test_no_module_imports_one_that_imports_it() -> None:
    TopologicalSorter({name: PATHS.keys() & imported(path) for name, path in PATHS.items()}).prepare()
