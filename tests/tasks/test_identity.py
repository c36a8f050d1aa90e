"""Every address changes with the code that its rows depend on, and with nothing else.

What a table depends on is found by running: queries as they are asked for, functions as they are called. How an address is
made of it is not looked at.
"""

import ast
import dis
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

from expectations import gate, rules
from expectations.gate import examine
from flows.pipeline import build
from flows.running.perform import perform_in_plan
from tasks import config as configs
from tasks import identity, warehouse
from tasks.config import Config
from tasks.functions import FUNCTIONS
from tasks.people.routing import queue
from tasks.release.candidate import release_fingerprint, tables_of, write_candidate
from tasks.tables import Ref, Stage, Table
from tasks.work.job import RunJob
from tests.conftest import ROOT, write_config

BY_CONTENT = {"sources", "completions", "embeddings", "statements"}
"""Tables that are identified by what they hold, whatever code read or answered it."""
MORE = """
[pairs]
budget = 60

[consensus]
method = "dawid-skene"

[review]
answers = 4
pairs = 2
"""
OF_TEXT = {"bare", "parsed", "parser"}
"""What is remembered of a text, wherever it stands."""
Called = set[tuple[str, str]]
"""Functions of ours that were called: the file in the repository, and the name."""
LITTER = {
    ".rule.sql.swp": b"b0VIM 9.1\0\xff",
    "rule.sql.swp": b"\xff",
    "4913": b"",
    "rule.sql~": b"\xff",
    "#rule.sql#": b"\xff",
    "rule.sql.orig": b"\xff",
    "._rule.sql": b"\0\5\x16\7",
    ".DS_Store": b"\0\0\0\1Bud1",
    "__pycache__/rule.cpython-311.pyc": b"\xa7\r\r\n",
    ".ipynb_checkpoints/rule-checkpoint.py": b"\xff",
    "README.md": b"# Rules\n",
    "folder.sql/rule.txt": b"",
    "folder.py/rule.txt": b"",
}
LINKS = {
    f"{name}{suffix}": goal
    for suffix in (".sql", ".py", ".md")
    for name, goal in ((".#rule", "user@host.1:2"), ("gone", "nowhere"), ("round", f"round{suffix}"))
} | {"long.sql": "n" * 300}
"""What editors, desktops and Python leave in a folder, and links that cannot be read."""


@dataclass
class Made:
    """How one table was made: by a query or by a function, and the functions of ours that this one called."""

    table: str
    sql: str | None = None
    function: Callable[..., Any] = len
    stands_on: Sequence[str] = ()
    called: Called = field(default_factory=set)
    codes: dict[CodeType, Mapping[str, Any]] = field(default_factory=dict)

    def code(self) -> str:
        return identity.of_query(self.sql) if self.sql else identity.of_modules(*self.modules())

    def modules(self) -> list[str]:
        return [self.function.__module__, *self.stands_on]


@dataclass
class Built:
    """A run without Prefect: how its tables were made, its stages, and what the candidate called and opened."""

    config: Config
    made: list[Made]
    stages: list[Stage]
    called: Called
    opened: set[str]


def calls(of: Called, codes: dict[CodeType, Mapping[str, Any]]) -> Callable[[FrameType, str, Any], None]:
    def note(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(tuple(f"{ROOT}/{package}/" for package in identity.KINDS)):
            of.add((file.removeprefix(f"{ROOT}/"), frame.f_code.co_qualname))
            codes[frame.f_code] = frame.f_globals

    return note


def traced(
    function: Callable[..., Any], of: Called, codes: dict[CodeType, Mapping[str, Any]] | None = None
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        before = sys.getprofile()
        sys.setprofile(calls(of, {} if codes is None else codes))
        try:
            return function(*arguments, **named)
        finally:
            sys.setprofile(before)

    return call


OPENED: set[str] = set()


def note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(f"{ROOT}/"):
        OPENED.add(str(arguments[0]).removeprefix(f"{ROOT}/"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cluster: RunJob) -> Built:
    folder = tmp_path_factory.mktemp("identity")
    path = write_config(folder)
    path.write_text(path.read_text().replace("samples = 2", "samples = 4").replace("[prompts]", f"{MORE}[prompts]"))
    path.write_text(path.read_text().replace('{ kind = "word-counts" }', '{ kind = "word-counts" }\nalternatives = 2'))
    config = configs.load(str(path))
    root = str(folder / "storage")
    tables = f"{root}/tables"
    made: list[Made] = []
    select, derive = warehouse.build, warehouse.derive

    def build_and_note(table: Table, folder: str, sql: str, *rest: Any, **parameters: Any) -> Ref:
        made.append(Made(table.name, sql=sql))
        return select(table, folder, sql, *rest, **parameters)

    def derive_and_note(table: Table, folder: str, function: Any, on: Any, *rest: Any, **parameters: Any) -> Ref:
        one = Made(table.name, function=function, stands_on=on)
        made.append(one)
        return derive(table, folder, traced(function, one.called, one.codes), on, *rest, **parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "build", build_and_note)
        patch.setattr(warehouse, "derive", derive_and_note)
        stages = build(config, root, cluster, perform_in_plan)
        assert config.review
        queue(config, config.review, tables_of(stages), tables)
        called: Called = set()
        sys.addaudithook(note_open)
        fingerprint = release_fingerprint(config, stages)
        forget()
        identity.files()
        OPENED.clear()
        candidate = traced(write_candidate, called)(config, stages, "1", fingerprint, root)
        examine(candidate.uri, candidate.files, config.gate)
        opened = set(OPENED)
    return Built(config, made, stages, called, opened)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the code, which is taken for the code."""
    for package in identity.KINDS:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "configs"))
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    for name, value in vars(identity).items():
        if hasattr(value, "cache_clear") and name not in OF_TEXT:
            value.cache_clear()


def edited(path: Path, text: str, value: Callable[[], object]) -> object:
    """The value while `path` has this text."""
    before = path.read_text()
    path.write_text(text)
    forget()
    found = value()
    path.write_text(before)
    forget()
    return found


def commented(text: str, suffix: str) -> str:
    """The text with comments in it, and other docstrings."""
    if suffix == ".sql":
        first, _, rest = text.partition("\n")
        return f"{first}\n-- more\n{rest.replace('SELECT', 'SELECT /* here */', 1)}-- end\n"
    lines = [f"{line}  # said" if re.fullmatch(r"\s*return \w+", line) else line for line in text.splitlines()]
    return "# more\n" + "\n".join(re.sub(r'^(\s*)"""(?=\w)', r'\1"""Says: ', line) for line in lines)


def function_edited(text: str, name: str) -> str:
    """The text with one statement more in the function of this name."""
    tree = ast.parse(text)
    wanted = name.split(".<locals>", maxsplit=1)[0].split(".")
    body: list[ast.stmt] = tree.body
    for part in wanted:
        node = next(n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part)
        body = node.body
    body.append(ast.parse("_ = 0").body[0])
    return ast.unparse(tree)


def macro_names(tree: Path, sql: str) -> set[str]:
    """The macros that a query uses, by their names in its text."""
    found: set[str] = set()
    texts = [identity.queries()[sql].read_text()]
    bodies = dict(re.findall(r"MACRO (\w+)\(.*?\) AS(.*?);\n", macros(tree).read_text(), re.DOTALL))
    while texts:
        text = re.sub(r"--[^\n]*", "", texts.pop())
        more = {name for name in bodies if re.search(rf"\b{name}\(", text)} - found
        found |= more
        texts += [bodies[name] for name in more]
    return found


def macros(tree: Path) -> Path:
    return tree / "tasks/sql/macros.sql"


def test_every_table_of_the_code_is_made_in_the_run_that_these_tests_look_at(built: Built) -> None:
    modules = [path.relative_to(ROOT) for path in (ROOT / "tasks").rglob("*.py") if "engines" not in path.parts]
    known = {
        value.name
        for module in modules
        for value in vars(import_module(".".join(module.with_suffix("").parts).removesuffix(".__init__"))).values()
        if isinstance(value, Table)
    }
    assert known - {made.table for made in built.made} == BY_CONTENT


def test_a_query_is_in_the_address_of_its_table_and_a_comment_in_it_is_not(built: Built, tree: Path) -> None:
    for made in built.made:
        if made.sql:
            path = identity.queries()[made.sql]
            text, code = path.read_text(), made.code()
            assert edited(path, commented(text, ".sql"), made.code) == code, made.sql
            assert edited(path, f"{text}LIMIT 7", made.code) != code, made.sql


def test_a_macro_is_in_the_addresses_of_the_tables_whose_queries_use_it(built: Built, tree: Path) -> None:
    path = macros(tree)
    text = path.read_text()
    queries = {made.sql for made in built.made if made.sql}
    before = {sql: identity.of_query(sql) for sql in queries}
    using = {sql: macro_names(tree, sql) for sql in queries}

    def changed() -> set[str]:
        return {sql for sql in queries if identity.of_query(sql) != before[sql]}

    assert any(using.values())
    assert edited(path, commented(text, ".sql"), changed) == set()
    for name in re.findall(r"MACRO (\w+)\(", text):
        mended = re.sub(rf"(MACRO {name}\(.*?\) AS)(.*?);\n", r"\1 coalesce(\2, NULL);\n", text, flags=re.DOTALL)
        assert mended != text
        assert edited(path, mended, changed) == {sql for sql in queries if name in using[sql]}, name


def test_a_function_of_python_and_its_library_are_in_the_addresses_of_the_tables_whose_queries_use_it(
    built: Built, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "tasks/functions.py"
    text = path.read_text()
    queries = {made.sql for made in built.made if made.sql}
    before = {sql: identity.of_query(sql) for sql in queries}

    def changed() -> set[str]:
        return {sql for sql in queries if identity.of_query(sql) != before[sql]}

    using = {"letters": {"screened_prompts"}, "novelty": {"screened_responses"}}
    using["language"] = using["letters"] | using["novelty"]
    assert using.keys() == FUNCTIONS.keys()
    assert edited(path, commented(text, ".py"), changed) == set()
    for name in using:
        assert edited(path, function_edited(text, name), changed) == using["language"]
    for constant in ("WINDOW = 16", '"iw": "he"', "0x0640"):
        assert edited(path, text.replace(constant, f"{constant[:-1]}0{constant[-1]}"), changed) == using["language"]
    for name, function in FUNCTIONS.items():
        monkeypatch.setitem(FUNCTIONS, name, function._replace(stands_on=("another version",)))
        forget()
        assert changed() == using[name]
        monkeypatch.setitem(FUNCTIONS, name, function)


def test_a_table_made_by_python_names_all_modules_of_which_a_function_is_called(built: Built, tree: Path) -> None:
    derived = {made.table: made for made in built.made if not made.sql and made.called}
    assert derived.keys() >= {"agreement", "posteriors", "resolved"}
    for made in derived.values():
        code = made.code()
        for file, name in made.called:
            if "<lambda>" not in name and "<" not in name.split(".")[0]:
                text = (tree / file).read_text()
                assert edited(tree / file, commented(text, ".py"), made.code) == code, (made.table, file)
                assert edited(tree / file, function_edited(text, name), made.code) != code, (made.table, file, name)


def used(code: CodeType, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The global names in a function and those within it, with what they stand for, and what it imports."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "IMPORT_NAME"):
            yield step.argval, known.get(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from used(inner, known)


def test_a_table_made_by_python_names_all_that_its_functions_take_from_elsewhere(built: Built) -> None:
    packages = metadata.packages_distributions()
    for made in (made for made in built.made if not made.sql):
        for code, known in made.codes.items():
            imports = [n for n in ast.parse(Path(code.co_filename).read_text()).body if isinstance(n, ast.ImportFrom)]
            origin = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
            for name, value in used(code, known):
                package = (value.__name__ if isinstance(value, ModuleType) else name).split(".")[0]
                if package in packages and package not in identity.KINDS:
                    assert set(packages[package]) & set(made.stands_on), (made.table, name)
                elif name in origin and not callable(value) and not isinstance(value, Table | ModuleType):
                    assert origin[name] in made.modules(), (made.table, name)


@pytest.mark.parametrize(
    ("table", "file", "old", "new"),
    [
        ("resolved", "tasks/judging/cycles.py", "PRIOR_WINS = 0.1", "PRIOR_WINS = 0.2"),
        ("resolved", "tasks/judging/cycles.py", "ITERATIONS = 200", "ITERATIONS = 201"),
        ("posteriors", "tasks/judging/consensus.py", "ITERATIONS = 100", "ITERATIONS = 99"),
        ("agreement", "tasks/judging/measures.py", "RESAMPLES = 1000", "RESAMPLES = 999"),
        ("agreement", "tasks/judging/measures.py", "np.arange(4)", "np.arange(5)"),
    ],
)
def test_a_constant_is_in_the_address_of_the_table_that_depends_on_it(
    built: Built, tree: Path, table: str, file: str, old: str, new: str
) -> None:
    made = next(made for made in built.made if made.table == table)
    text = (tree / file).read_text()
    assert old in text
    assert edited(tree / file, text.replace(old, new), made.code) != made.code()


def test_a_table_does_not_depend_on_code_that_has_nothing_to_do_with_it(built: Built, tree: Path) -> None:
    for made in built.made:
        for file in ("tasks/card/charts.py", "flows/pipeline.py", "tasks/errors.py"):
            text = (tree / file).read_text()
            assert edited(tree / file, f"{text}\nMORE = 1\n", made.code) == made.code()


def test_the_key_of_everything_sees_all_that_a_release_is_made_of(built: Built) -> None:
    opened = {file for file in built.opened if file.endswith((".sql", ".md", ".toml", ".csv"))}
    assert {"tasks/card/card.md", "tasks/card/reference.toml"} <= opened
    assert any(file.startswith("expectations/sql/recounts/") for file in opened)
    assert opened | {file for file, _ in built.called} <= identity.files().keys()


def test_each_edit_of_a_file_that_counts_changes_the_key_of_everything_and_no_comment_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = identity.files()
    assert {Path(path).suffix for path in files} == {suffix for kinds in identity.KINDS.values() for suffix in kinds}
    keys = {identity.of_everything()}
    for path, content in files.items():
        suffix, text = Path(path).suffix, content.decode()
        mended = f"{text}LIMIT 7\n" if suffix == ".sql" else f'{text}\nmore = "1"\n'
        monkeypatch.setattr(identity, "files", functools.partial(dict, files | {path: mended.encode()}))
        identity.everything.cache_clear()
        keys.add(identity.of_everything())
        if suffix in (".py", ".sql"):
            assert identity.bare(path, commented(text, suffix).encode()) == identity.bare(path, content), path
    identity.everything.cache_clear()
    assert len(keys) == 1 + len(files)


PROGRAMS = [
    program.replace("|", "\n")
    for line in """
x = 1 ; x = 1.0 ; x = True ; x = '1' ; x = b'1' ; x = None ; x = ... ; x = 1j ; x = -1 ; x = f'{x}'
x = f'{x!r}' ; x = f'{x:1}' ; x = [[1], 2] ; x = [[1, 2]] ; x = [1, [2]] ; x = (1, 2) ; x = {1, 2} ; x = {1: 2}
x = y[1:] ; x = y[:1] ; x = y[1] ; x = y < z ; x = y <= z ; x = f(y) ; x = f(*y) ; x = f(**y) ; x = f(y=y)
x += 1 ; del x ; x ; x.y ; x.z ; await x ; yield x ; yield from x ; return ; return x ; return None ; global x
nonlocal x ; import x ; import x as y ; from . import x ; from .. import x ; from x import y ; raise x
raise x from y ; assert x ; assert x, y ; def f(x, y=1): pass ; def f(x=1, *, y): pass ; x = '.'
def f(x, /): pass ; def f(*x): pass ; def f(**x): pass ; async def f(x): pass ; @g|def f(x): pass ; lambda x: y
class A(B): pass ; class A(B):|    x: int ; class A(B):|    x: str ; if x: y ; if x: pass|else: y ; while x: y
for x in y: z ; for x in y: pass|else: z ; try: x|except A: y ; try: x|finally: y ; with x: y
with x as y: pass ; match x:|    case 1: y ; match x:|    case y: pass ; [x for y in z] ; [x for y in z if x]
{x for y in z} ; x if y else z
""".strip().splitlines()
    for program in line.split(" ; ")
]
"""Modules, of which no two say the same; `|` ends a line of one."""


def test_what_differs_to_python_or_to_duckdb_differs() -> None:
    told = {program: identity.bare("tasks/a.py", program.encode()) for program in PROGRAMS}
    assert len(set(told.values())) == len(told)
    for program, of in told.items():
        assert identity.bare("tasks/a.py", f'"""Doc."""\n# said\n\n{program}  # said'.encode()) == of, program
    texts = ("''", "'a'", "'a  b'", "'a b'", "'a--b'", "'/*a*/'", "'it''s'", "'it' 's'")
    asked = [*texts, '"a"', '"a--b"', "a", "ab", "a b", "a - b"]
    queries = {text: identity.bare("tasks/sql/a.sql", f"SELECT {text}".encode()) for text in asked}
    assert len(set(queries.values())) == len(queries)
    for text, told_of in queries.items():
        for same in (f"-- said\nSELECT /* '*/ {text} -- it's", f"SELECT\n  {text}\n--", f"SELECT {text}/* -- */"):
            assert identity.bare("tasks/sql/a.sql", same.encode()) == told_of, same


def test_python_parses_in_one_thread_at_a_time_and_each_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, at_once, most, parses = ast.parse, [0], [0], [0]

    def watched(*arguments: Any, **named: Any) -> Any:
        at_once[0] += 1
        parses[0] += 1
        most[0] = max(most[0], at_once[0])
        Path(os.devnull).read_bytes()  # others may go on meanwhile
        found = parse(*arguments, **named)
        at_once[0] -= 1
        return found

    monkeypatch.setattr(ast, "parse", watched)
    forget()
    identity.bare.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        asked: list[Callable[[], object]] = [
            identity.of_everything,
            lambda: identity.of_modules("tasks.judging.cycles"),
        ]
        found = [asking.result() for asking in [pool.submit(asked[number % 2]) for number in range(16)]]
    assert len(set(map(str, found))) == 2
    assert most == [1]
    assert parses == [sum(path.endswith(".py") for path in identity.files())]


def test_what_editors_desktops_and_python_leave_in_our_folders_is_not_looked_at(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SQL", tree / "expectations/sql")
    recounted = [path.stem for path in identity.named(rules.SQL / "recounts", ".sql")]
    before = identity.of_everything(), identity.queries(), identity.of_modules("tasks.judging.cycles"), recounted
    asked: list[str] = []

    class Asked:
        def sql(self, text: str) -> Any:
            asked.append(text)
            return self

        def to_arrow_table(self) -> Any:
            return self

        def to_pylist(self) -> list[Any]:
            return []

    folders = [
        path for package in identity.KINDS for path in (tree / package, *(tree / package).rglob("*")) if path.is_dir()
    ]
    for folder in folders:
        for name, content in LITTER.items():
            (folder / name).parent.mkdir(exist_ok=True)
            if not (folder / name).exists():
                (folder / name).write_bytes(content)
        for name, goal in LINKS.items():
            (folder / name).symlink_to(goal)
    forget()
    recounted = [path.stem for path in identity.named(rules.SQL / "recounts", ".sql")]
    assert (
        identity.of_everything(),
        identity.queries(),
        identity.of_modules("tasks.judging.cycles"),
        recounted,
    ) == before
    assert list(gate.recounts(Asked())) == []  # type: ignore[arg-type]
    assert len(asked) == len(recounted)


def test_a_file_that_is_half_written_is_taken_as_it_is(tree: Path) -> None:
    keys = {identity.of_everything()}
    for name, text in (("tasks/more.py", "def f("), ("tasks/sql/more.sql", "SELECT 'a"), ("tasks/more.toml", "a = ")):
        for more in ("", " "):
            (tree / name).write_text(text + more)
            forget()
            keys.add(identity.of_everything())
    assert len(keys) >= 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("answers = 4", "answers = 5"),
        ('method = "dawid-skene"', 'method = "majority"'),
        ('name = "tested"', 'name = "other"'),
        ('name = "judge"', 'name = "jury"'),
    ],
)
def test_the_fingerprint_of_a_release_sees_the_settings_that_its_files_speak_of(
    built: Built, tmp_path: Path, old: str, new: str
) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("[prompts]", f"{MORE}[prompts]"))
    before = release_fingerprint(configs.load(str(path)), built.stages)
    path.write_text(path.read_text().replace(old, new))
    assert release_fingerprint(configs.load(str(path)), built.stages) != before


def test_what_a_process_runs_is_what_its_addresses_say_whatever_is_edited_meanwhile(tree: Path) -> None:
    cycles = tree / "tasks/judging/cycles.py"
    forget()
    identity.files()
    before = identity.of_modules("tasks.judging.cycles"), identity.query("dropped"), identity.of_everything()
    for path in (cycles, identity.queries()["dropped"]):
        path.write_text(path.read_text().replace("PRIOR_WINS = 0.1", "PRIOR_WINS = 0.2").replace("id,", "id AS id,"))
    for name in ("of_query", "query", "queries", "bare", "everything"):
        getattr(identity, name).cache_clear()
    assert (identity.of_modules("tasks.judging.cycles"), identity.query("dropped"), identity.of_everything()) == before


def test_annotations_are_in_no_address(tree: Path) -> None:
    file = tree / "tasks/judging/cycles.py"
    text = file.read_text()
    assert "groups: dict[" in text
    mended = re.sub(r"groups: dict\[.*?\] =", "groups =", text)

    def code() -> str:
        return identity.of_modules("tasks.judging.cycles")

    assert edited(file, mended, code) == code()


def test_the_version_of_a_library_is_in_the_address_of_what_it_made(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    def codes() -> dict[str, str]:
        return {made.table: made.code() for made in built.made if not made.sql}

    before, version = codes(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: f"{version(name)}{'+1' * (name == 'crowd-kit')}")
    after = codes()
    assert {table for table in after if after[table] != before[table]} == {"posteriors"}


def test_what_is_installed_is_in_the_key_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        identity.everything.cache_clear()
        return identity.of_everything()

    before = key()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pycld2-9.dist-info").mkdir()
    assert key() == before
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert key() != before
    monkeypatch.undo()
    assert key() == before


def test_two_queries_of_one_name_are_refused(tree: Path) -> None:
    (tree / "tasks/people/sql/opinions.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"opinions\.sql"):
        identity.queries()


def test_a_release_is_another_one_when_the_sums_of_its_stages_are(built: Built) -> None:
    others = [replace(stage, rows_in=stage.rows_in + 1) for stage in built.stages]
    assert release_fingerprint(built.config, others) != release_fingerprint(built.config, built.stages)
