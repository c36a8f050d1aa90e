"""Say what code makes a table's rows, so that an address changes when that code does, and never for a comment.

In: the name of a query, or names of modules and libraries. Out: a hash. A query is its syntax tree, as DuckDB parses it, with
the macros and the functions of `tasks.functions` that it uses. A module is its syntax tree without docstrings, annotations and
comments, a library its version. `of_everything` is all of that at once, for what says of itself that nothing has changed. All
code is taken as it was when this process began, which is what the process runs.
"""

import ast
import hashlib
import json
import os
import re
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import RLock
from typing import Any

import duckdb

from tasks.functions import FUNCTIONS

ROOT = Path(__file__).parent.parent
KINDS = {
    "expectations": (".py", ".sql"),
    "flows": (".py",),
    "infra": (".py",),
    "tasks": (".csv", ".md", ".py", ".sql", ".toml"),
}
"""How the names of the files end that count, by package: configurations are values, and the rest is for people or other tools."""
FOR_PEOPLE = "README.md"
MACROS = "tasks/sql/macros.sql"
MACRO = re.compile(r"MACRO\s+(\w+)\s*\(([^)]*)\)\s+AS\b(.*)", re.DOTALL | re.IGNORECASE)
SQL = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\s'"/-]+|\S""", re.DOTALL)
"""A comment, a text, a name or a sign of SQL."""
PLACE = re.compile(r',"query_location":\d+|"query_location":\d+,?')
"""In the JSON of a syntax tree, where a part stands, which a comment moves."""
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement holds others."""
PARSING = RLock()
"""Held while Python parses: two threads at it raise SystemError now and then (python/cpython#106905)."""


def digest(*parts: object) -> str:
    """32 hexadecimal digits of the SHA-256 of the parts' JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def named(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder of ours whose names end in one of `suffixes`, sorted.

    What editors and desktops leave there is none of them: what is hidden, folders, links to nowhere, what may not be read.
    """
    found = (path for path in folder.rglob("*") if path.suffix in suffixes and path.name != FOR_PEOPLE)
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in shown if os.path.isfile(path) and os.access(path, os.R_OK))


@cache
def files() -> dict[str, bytes]:
    """What stands in each file that counts, by its path in the checkout."""
    paths = (path for package, suffixes in KINDS.items() for path in named(ROOT / package, *suffixes))
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in paths}


@cache
def queries() -> dict[str, Path]:
    """Every query by its name, which is its own whatever room it stands in; raises ValueError where two have one name."""
    found: dict[str, Path] = {}
    for path in (
        ROOT / file for file in files() if re.fullmatch(r"tasks/(.*/)?sql/[^/]*\.sql", file) and file != MACROS
    ):
        if path.stem in found:
            raise ValueError(f"{path}: {found[path.stem]} has the same name; rename one of the two queries")
        found[path.stem] = path
    return found


@cache
def query(name: str) -> str:
    """The text of `<name>.sql`."""
    return files()[str(queries()[name].relative_to(ROOT))].decode()


@cache
def macro_definitions() -> str:
    """The statements that define all macros."""
    return files()[MACROS].decode()


@cache
def of_query(name: str) -> str:
    """What identifies the query `<name>.sql`: its syntax tree, and what its functions are."""
    return digest(with_functions(parsed(query(name))))


def with_functions(tree: object) -> dict[str, object]:
    """A syntax tree, and by name the macros and functions of ours that are used in it, or in these macros."""
    found: dict[str, object] = {"": tree}
    waiting = [tree]
    while waiting:
        for name in set(functions(waiting.pop())) - found.keys():
            if name in macros():
                found[name] = macros()[name]
                waiting.append(found[name])
            elif name in FUNCTIONS:
                found[name] = of_modules(FUNCTIONS[name].call.__module__, *FUNCTIONS[name].stands_on)
    return found


@cache
def macros() -> dict[str, object]:
    """The parameters and the syntax tree of every macro, by name."""
    statements = duckdb.extract_statements(macro_definitions())
    found = (MACRO.search(statement.query) for statement in statements)
    return {macro[1]: [macro[2].split(), parsed(f"SELECT {macro[3]}")] for macro in found if macro}


@cache
def parsed(text: str) -> object:
    """The syntax tree of one SELECT, without the places where its parts stand.

    Raises:
        ValueError: DuckDB cannot parse it.
    """
    told = parser().cursor().execute("SELECT json_serialize_sql(CAST($text AS VARCHAR))", {"text": text}).fetchall()
    tree = json.loads(PLACE.sub("", told[0][0]))
    if tree["error"]:
        raise ValueError(f"not one SELECT: {tree['error_message']}")
    return tree


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """A DuckDB that holds nothing, to parse with."""
    return duckdb.connect()


def functions(tree: Any) -> Iterator[str]:  # noqa: ANN401 (JSON)
    """The names of all functions that a syntax tree calls."""
    if isinstance(tree, dict):
        if "function_name" in tree:
            yield str(tree["function_name"])
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from functions(part)


def of_modules(*names: str) -> str:
    """What identifies modules of ours, each by its whole code, and libraries, each by its version; nothing is imported."""
    with PARSING:
        return digest({name: code(name) if name.split(".")[0] in KINDS else version(name) for name in names})


def code(module: str) -> str:
    """The hash of one of our modules."""
    path = module.replace(".", "/")
    path = f"{path}.py" if f"{path}.py" in files() else f"{path}/__init__.py"
    return bare(path, files()[path])


def version(name: str) -> str:
    """The version of a library by the name of its package, or what is said of itself by one that is none: `Unicode 15.0.0`."""
    return name if " " in name else metadata.version(name)


def of_everything() -> str:
    """What identifies all code of ours that a result could depend on, with all queries, texts and installed packages.

    It changes more often than it would have to: for what is found again by its address anyway, and dear only to look at.
    """
    with PARSING:
        return everything()


@cache
def everything() -> str:
    """The same, once for all threads."""
    return digest({path: bare(path, content) for path, content in files().items()}, installed())


def installed() -> list[str]:
    """The names of all installed packages with their versions, as pip names their folders: to read them takes half a second.

    Not by `sys.path`, which changes as soon as Ray is imported.
    """
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return sorted({path.name for folder in folders for path in Path(folder).glob("*.dist-info")})


@cache
def bare(path: str, content: bytes) -> str:
    """The hash of what a file of ours says, without what no result depends on; of one that is half written, of all.

    The first line of a rule is read by people.
    """
    with suppress(SyntaxError, ValueError):
        match Path(path).suffix:
            case ".py":
                return digest(ast.dump(stripped(ast.parse(content))))
            case ".sql":
                first, _, _ = content.decode().partition("\n")
                parts = (part for part in SQL.findall(content.decode()) if not part.startswith(("--", "/*")))
                return digest(first if path.startswith("expectations/") else "", *parts)
            case ".toml":
                return digest(tomllib.loads(content.decode()))
    return digest(content)


def stripped(module: ast.Module) -> ast.Module:
    """A module without docstrings and annotations; the fields of a class keep theirs, which may be read."""
    waiting: list[ast.AST] = [module]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
        for name in BODIES:
            if held := getattr(node, name, None):
                kept = [part for part in held if not is_text(part)]
                kept = kept if isinstance(node, ast.ClassDef) else [unannotated(part) for part in kept]
                setattr(node, name, kept or [ast.Pass()])
                waiting += kept
    return module


def is_text(statement: ast.AST) -> bool:
    """Whether a statement is a text that nobody takes: a docstring, of a constant too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def unannotated(statement: ast.AST) -> ast.AST:
    """A statement that gives a name its value, without its annotation; any other as it is."""
    if not isinstance(statement, ast.AnnAssign):
        return statement
    if statement.value is None:
        return ast.Pass()
    return ast.copy_location(ast.Assign(targets=[statement.target], value=statement.value), statement)


files()
