"""Say what code makes a table's rows, so that an address changes when that code does, and never for a comment.

In: the name of a query, or a function of ours. Out: a hash. A query is its syntax tree, as DuckDB parses it, with the macros
that it uses, the functions of `tasks.functions` that it uses, and the libraries that these stand on. A function is what its
name leads to, from name to name through our modules, down to constants and to the queries and files that they name, and to the
versions of the libraries that they import. Docstrings, annotations and comments are left out. So are methods of what a function
is given, whose values count, and `infra`, which says where things run. All code is taken as it was when this process first
looked at it, which is what the process runs.
"""

import ast
import fnmatch
import glob
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import duckdb

from tasks.functions import FUNCTIONS

ROOT = Path(__file__).parent.parent
OURS = ("tasks", "expectations", "flows")
MACROS = "tasks/sql/macros.sql"
MACRO = re.compile(r"MACRO\s+(\w+)\s*\(([^)]*)\)\s+AS\b(.*)", re.DOTALL | re.IGNORECASE)
PARSING = Lock()
"""Held while Python parses: two threads at it raise SystemError now and then (python/cpython#106905)."""


class Statement(NamedTuple):
    """What is to be known of a statement at the top of a module, read once: many names lead to it."""

    code: str
    imports: frozenset[str]
    """The modules that are imported in it."""
    whole: ast.ImportFrom | None
    """Itself, where it is an import of names."""
    local: tuple[ast.ImportFrom, ...]
    """All imports of names in it."""
    uses: frozenset[tuple[str, str | None]]
    """The names in it, each with the attribute that is taken of it there."""
    queries: frozenset[str]
    """Patterns of the queries that it names."""
    paths: frozenset[str]
    """Patterns of the files and folders that it names."""
    is_folder: bool
    """Whether it gives a name to the folder of its module."""


Names = dict[str, list[Statement]]


def digest(*parts: object) -> str:
    """32 hexadecimal digits of the SHA-256 of the parts' JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


@cache
def queries() -> dict[str, Path]:
    """Every query by its name, which is its own whatever room it stands in; raises ValueError where two have one name."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "tasks").rglob("sql/*.sql")):
        if path.stem in found:
            raise ValueError(f"{path}: {found[path.stem]} has the same name; rename one of the two queries")
        if path != ROOT / MACROS:
            found[path.stem] = path
    return found


@cache
def query(name: str) -> str:
    """The text of `<name>.sql`."""
    return queries()[name].read_text(encoding="utf-8")


@cache
def macro_definitions() -> str:
    """The statements that define all macros."""
    return (ROOT / MACROS).read_text(encoding="utf-8")


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
                found[name] = [of_function(FUNCTIONS[name].call), FUNCTIONS[name].stands_on]
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
    tree = json.loads(told[0][0])
    if tree["error"]:
        raise ValueError(f"not one SELECT: {tree['error_message']}")
    return without_places(tree)


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """A DuckDB that holds nothing, to parse with."""
    return duckdb.connect()


def without_places(tree: Any) -> Any:  # noqa: ANN401 (JSON)
    """A syntax tree without `query_location`, which a comment moves."""
    if isinstance(tree, dict):
        return {name: without_places(part) for name, part in tree.items() if name != "query_location"}
    return [without_places(part) for part in tree] if isinstance(tree, list) else tree


def functions(tree: Any) -> Iterator[str]:  # noqa: ANN401 (JSON)
    """The names of all functions that a syntax tree calls."""
    if isinstance(tree, dict):
        if "function_name" in tree:
            yield str(tree["function_name"])
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from functions(part)


def of_function(function: Callable[..., object]) -> str:
    """What identifies a function of ours: all code, queries and files that its name leads to."""
    return of_code(function.__module__, function.__qualname__.split(".", maxsplit=1)[0])


@cache
def of_code(module: str, name: str) -> str:
    """What identifies what `name` stands for in one of our modules; nothing is imported to find out."""
    return digest(sorted(reached(module, name).items()))


def reached(module: str, name: str) -> dict[str, str]:
    """Every piece of code that a name leads to, by where it stands, and every query and file that is named there."""
    found: dict[str, str] = {}
    met = {(module, name)}
    waiting = [(module, name)]
    while waiting:
        told, led = stands_for(*waiting.pop())
        found |= told
        waiting += led - met
        met |= led
    return found


@cache
def stands_for(module: str, name: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """The code of one name with the files and libraries that it names, and the names that it leads to."""
    statements = names(module).get(name, [])
    told = {f"{module}.{name}": "\n".join(statement.code for statement in statements)}
    led: set[tuple[str, str]] = set()
    for statement in statements:
        led |= set(leads(module, statement))
        told |= files(module, statement) | libraries(statement)
    return told, led


def libraries(statement: Statement) -> dict[str, str]:
    """The versions of the libraries that are imported in a statement."""
    packages = {module.split(".")[0] for module in statement.imports if module not in sources()}
    return {f"library {package}": installed(package) for package in packages & distributions().keys()}


@cache
def installed(package: str) -> str:
    """The distributions that a package comes from, with their versions."""
    return " ".join(f"{name} {metadata.version(name)}" for name in sorted(set(distributions()[package])))


@cache
def distributions() -> Mapping[str, list[str]]:
    """The installed distributions by the names of the packages that they hold."""
    return metadata.packages_distributions()


@cache
def names(module: str) -> Names:
    """The statements of a module by the names that they bind; those that bind none belong to every name, under ``."""
    return bindings(sources()[module])


@cache
def bindings(text: str) -> Names:
    """The same of a module's text."""
    with PARSING:
        module = bare(ast.parse(text))
    found: Names = {"": []}
    for node in module.body:
        statement = read(node)
        for name in bound(node) or [""]:
            found.setdefault(name, []).append(statement)
    return found


def read(node: ast.stmt) -> Statement:
    """What is to be known of a statement."""
    inside = list(ast.walk(node))
    imports = [part for part in inside if isinstance(part, ast.ImportFrom)]
    modules = [alias.name for part in inside if isinstance(part, ast.Import) for alias in part.names]
    attributes = {id(part.value): part.attr for part in inside if isinstance(part, ast.Attribute)}
    calls = [part for part in inside if isinstance(part, ast.Call) and names_queries(part.func)]
    paths = [part.right for part in inside if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div)]
    return Statement(
        code=ast.unparse(node),
        imports=frozenset([*modules, *(part.module or "" for part in imports)]),
        whole=node if isinstance(node, ast.ImportFrom) and node.module else None,
        local=tuple(part for part in imports if part.module),
        uses=frozenset((part.id, attributes.get(id(part))) for part in inside if isinstance(part, ast.Name)),
        queries=frozenset(pattern(argument) for call in calls for argument in call.args),
        paths=frozenset(map(pattern, paths)) - {""},
        is_folder=isinstance(node, ast.Assign) and ast.unparse(node.value) == "Path(__file__).parent",
    )


def names_queries(function: ast.expr) -> bool:
    """Whether what is called takes the names of queries: `query`, and all of `warehouse`."""
    match function:
        case ast.Name(id="query") | ast.Attribute(value=ast.Name(id="warehouse")):
            return True
    return False


@cache
def sources() -> dict[str, str]:
    """The text of each of our modules, by its name."""
    paths = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]
    named = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)
    return {name: path.read_text(encoding="utf-8") for name, path in zip(named, paths, strict=True)}


def bound(statement: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module binds."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [(alias.asname or alias.name).split(".")[0] for alias in aliases]
    return [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def leads(module: str, statement: Statement) -> Iterator[tuple[str, str]]:
    """The names in our modules that a statement speaks of: its own module's, and those of modules that it knows."""
    if statement.whole:
        yield from imported(statement.whole, {alias.asname or alias.name for alias in statement.whole.names})
        return
    yield module, ""
    for name, attribute in statement.uses:
        known = [*statement.local, *(s.whole for s in names(module).get(name, []) if s.whole)]
        targets = [target for whole in known for target in imported(whole, {name}, attribute)]
        yield from targets
        if not targets and name in names(module):
            yield module, name


def imported(statement: ast.ImportFrom, wanted: set[str], attribute: str | None = None) -> Iterator[tuple[str, str]]:
    """What the `wanted` names of an import stand for: a name in a module; of a module an `attribute`, or all its names."""
    for alias in statement.names:
        whole = f"{statement.module}.{alias.name}"
        if (alias.asname or alias.name) not in wanted or not statement.module:
            continue
        if whole in sources():
            yield from [(whole, attribute)] if attribute else ((whole, name) for name in names(whole))
        elif statement.module in sources():
            yield statement.module, alias.name


def files(module: str, statement: Statement) -> dict[str, str]:
    """The content of the queries that a statement names, and of the files and folders beside its module.

    A constant `Path(__file__).parent` names all that stands there.
    """
    path = ROOT.joinpath(*module.split("."))
    folder = path if path.is_dir() else path.parent
    named = [name for wanted in statement.queries for name in fnmatch.filter(queries(), wanted)]
    beside = [path for wanted in statement.paths for path in folder.glob(wanted)]
    beside += [inside for path in beside for inside in path.rglob("*")]
    if statement.is_folder:
        beside += folder.rglob("*")
    told = (path for path in beside if path.is_file() and path.suffix not in (".py", ".pyc"))
    return {f"{name}.sql": of_query(name) for name in named} | {
        str(path.relative_to(ROOT)): of_file(path) for path in told
    }


def pattern(named: ast.expr) -> str:
    """What a text in the code may name, as a pattern: itself, or with `*` where a value is filled in; else nothing."""
    match named:
        case ast.Constant(value=str(text)):
            return glob.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(pattern(part) or "*" for part in parts)
    return ""


def of_file(path: Path) -> str:
    """What a file says: values of TOML, a query and the line above it, which people read of a rule, or its text.

    Of a template, which DuckDB does not parse, lines that are comments are left out.
    """
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".toml":
            return digest(tomllib.loads(text))
        case ".sql" if "sql" in path.relative_to(ROOT).parts:
            return digest(text.partition("\n")[0], with_functions(parsed(text)))
        case ".sql":
            return "\n".join(line for line in text.splitlines() if line and not line.startswith("--"))
    return text


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of a module; the fields of a class keep theirs, which may be read."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A name that is given its value, without annotation."""
        if node.value is None:
            return ast.Pass()
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function without its docstring and annotations."""
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.undocumented(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class without its docstring."""
        fields = {place: part for place, part in enumerate(node.body) if isinstance(part, ast.AnnAssign)}
        node.body = [ast.Pass() if place in fields else part for place, part in enumerate(node.body)]
        self.generic_visit(node)
        for place, field in fields.items():
            node.body[place] = field
        node.body = [part for part in node.body if not is_text(part)] or [ast.Pass()]
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """A module without its docstring."""
        return self.undocumented(node)

    def undocumented(self, node: ast.FunctionDef | ast.Module) -> ast.AST:
        """Without texts that stand by themselves: the docstrings of what holds them, and of constants."""
        self.generic_visit(node)
        node.body = [part for part in node.body if not is_text(part)] or [ast.Pass()]
        return node


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a text that nobody takes."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def bare(module: ast.Module) -> ast.Module:
    """A module without docstrings and annotations of functions."""
    found = Bare().visit(module)
    assert isinstance(found, ast.Module)  # noqa: S101 (a module stays one)
    return found


sources()
