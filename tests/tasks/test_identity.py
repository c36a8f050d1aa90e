"""Every address changes with the code that its rows depend on, and with nothing else.

What a table depends on is found by running: queries as they are asked for, functions as they are called. How an address is
made of it is not looked at.
"""

import ast
import fnmatch
import functools
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

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
OF_TEXT = {"parsed", "bindings", "parser", "distributions", "installed"}
"""What is remembered of a text, wherever it stands, and of what is installed."""
Called = set[tuple[str, str]]
"""Functions of ours that were called: the file in the repository, and the name."""


@dataclass
class Made:
    """How one table was made: by a query or by a function, and the functions of ours that this one called."""

    table: str
    sql: str | None = None
    function: Callable[..., Any] | None = None
    called: Called = field(default_factory=set)

    def code(self) -> str:
        return identity.of_query(self.sql) if self.sql else identity.of_function(self.function or len)


@dataclass
class Built:
    """A run without Prefect: how its tables were made, its stages, and what the candidate called and opened."""

    config: Config
    made: list[Made]
    stages: list[Stage]
    called: Called
    opened: set[str]


def calls(of: Called) -> Callable[[FrameType, str, Any], None]:
    def note(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(tuple(f"{ROOT}/{package}/" for package in identity.OURS)):
            of.add((file.removeprefix(f"{ROOT}/"), frame.f_code.co_qualname))

    return note


def traced(function: Callable[..., Any], of: Called) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        before = sys.getprofile()
        sys.setprofile(calls(of))
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

    def derive_and_note(table: Table, folder: str, function: Any, *rest: Any, **parameters: Any) -> Ref:
        made.append(Made(table.name, function=function))
        return derive(table, folder, traced(function, made[-1].called), *rest, **parameters)

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
        OPENED.clear()
        candidate = traced(write_candidate, called)(config, stages, "1", fingerprint, root)
        examine(candidate.uri, candidate.files, config.gate)
        opened = set(OPENED)
    return Built(config, made, stages, called, opened)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the code, which is taken for the code."""
    for package in identity.OURS:
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

    used = {"letters": {"screened_prompts"}, "novelty": {"screened_responses"}}
    used["language"] = used["letters"] | used["novelty"]
    assert used.keys() == FUNCTIONS.keys()
    assert edited(path, commented(text, ".py"), changed) == set()
    for name, using in used.items():
        assert edited(path, function_edited(text, name), changed) == using
    for constant, name in (("WINDOW = 16", "novelty"), ('"iw": "he"', "language"), ("0x0640", "letters")):
        assert edited(path, text.replace(constant, f"{constant[:-1]}0{constant[-1]}"), changed) == used[name]
    for name, function in FUNCTIONS.items():
        monkeypatch.setitem(FUNCTIONS, name, function._replace(stands_on="another version"))
        forget()
        assert changed() == used[name]
        monkeypatch.setitem(FUNCTIONS, name, function)


def test_the_code_of_a_table_made_by_python_is_in_its_address(built: Built, tree: Path) -> None:
    derived = [made for made in built.made if made.function and made.called]
    assert {made.table for made in derived} >= {"agreement", "posteriors", "resolved"}
    for made in derived:
        code = made.code()
        for file, name in made.called:
            if "<lambda>" not in name and "<" not in name.split(".")[0]:
                text = (tree / file).read_text()
                assert edited(tree / file, commented(text, ".py"), made.code) == code, (made.table, file)
                assert edited(tree / file, function_edited(text, name), made.code) != code, (made.table, file, name)


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


def test_the_fingerprint_of_a_release_sees_all_that_its_files_are_made_of(built: Built, tree: Path) -> None:
    def fingerprint() -> str:
        return release_fingerprint(built.config, built.stages)

    before = fingerprint()
    files = {
        file for file in built.opened if file.endswith((".sql", ".md", ".toml")) and not file.endswith("macros.sql")
    }
    assert {"tasks/card/card.md", "tasks/card/reference.toml"} <= files
    assert any(file.startswith("tasks/release/sql/") for file in files)
    for file in sorted(files):
        text = (tree / file).read_text()
        change = re.sub(r"\nLIMIT .*", "", text) + "\nLIMIT 7" if file.endswith(".sql") else f'{text}\nmore = "1"\n'
        assert edited(tree / file, change, fingerprint) != before, file
        if file.endswith(".sql"):
            assert edited(tree / file, commented(text, ".sql"), fingerprint) == before, file
    # Engines, costs and stages are handed in: what their methods say is a value, and is there as one.
    called = {(file, name) for file, name in built.called if not file.startswith(("tasks/engines/", "tasks/tables.py"))}
    for file, name in sorted(called):
        if "<" not in name.split(".")[0]:
            text = (tree / file).read_text()
            assert edited(tree / file, function_edited(text, name), fingerprint) != before, (file, name)
    for file in {file for file, _ in called}:
        assert edited(tree / file, commented((tree / file).read_text(), ".py"), fingerprint) == before, file
    for path in sorted((tree / "expectations").glob("*.py")):
        text = path.read_text()
        assert edited(path, commented(text, ".py"), fingerprint) == before, path.name
        if "    not_empty(" in text:
            changed = text.replace("    not_empty(", '    not_empty("A row."), not_empty(')
            assert edited(path, changed, fingerprint) != before


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


@pytest.mark.parametrize(
    ("module", "name", "file"),
    [
        ("tasks.people.review", "make_project", "tasks/people/sql/review_answers.sql"),
        ("tasks.people.review", "make_project", "tasks/people/sql/review_pairs.sql"),
        ("tasks.work.store", "obtain", "tasks/work/sql/completions_held.sql"),
        ("tasks.work.store", "obtain", "tasks/work/sql/embeddings_missing.sql"),
        ("tasks.judging.verdicts", "judge_by", "tasks/judging/rubric/checklist/harm.md"),
        ("tasks.judging.verdicts", "judge_by", "tasks/judging/rubric/llama-guard-3.csv"),
        ("tasks.judging.verdicts", "judge_by", "tasks/judging/rubric/wildguard.md"),
    ],
)
def test_a_file_whose_name_is_made_up_of_values_is_in_the_identity_of_what_opens_it(
    tree: Path, module: str, name: str, file: str
) -> None:
    def code() -> str:
        return identity.of_code(module, name)

    text = (tree / file).read_text()
    assert edited(tree / file, f"{text}LIMIT 7\n", code) != code()


def test_every_query_and_file_that_the_code_names_is_found() -> None:
    for module, text in identity.sources().items():
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(
                    func=ast.Name(id="query")
                    | ast.Attribute(value=ast.Name(id="warehouse"), attr="build" | "rows" | "table"),
                    args=arguments,
                ) if module not in ("tasks.warehouse", "tasks.identity"):
                    patterns = [identity.pattern(argument) for argument in arguments]
                    named = [name for one in patterns for name in fnmatch.filter(identity.queries(), one)]
                    assert named, f"{module}, line {node.lineno}: names no query"


def test_what_a_process_runs_is_what_its_addresses_say_whatever_is_edited_meanwhile(tree: Path) -> None:
    cycles = tree / "tasks/judging/cycles.py"
    before = identity.of_code("tasks.judging.cycles", "untie")
    forget()
    identity.sources()
    query, tree_of_query = identity.query("dropped"), identity.of_query("dropped")
    for path in (cycles, identity.queries()["dropped"]):
        path.write_text(path.read_text().replace("PRIOR_WINS = 0.1", "PRIOR_WINS = 0.2").replace("id,", "id AS id,"))
    assert identity.of_code("tasks.judging.cycles", "untie") == before
    assert identity.query("dropped") == query
    assert identity.of_query("dropped") == tree_of_query


def test_annotations_are_in_no_address(tree: Path) -> None:
    file = tree / "tasks/judging/cycles.py"
    text = file.read_text()
    assert "groups: dict[" in text
    mended = re.sub(r"groups: dict\[.*?\] =", "groups =", text)

    def code() -> str:
        return identity.of_code("tasks.judging.cycles", "untie")

    assert edited(file, mended, code) == code()


def test_the_version_of_a_library_is_in_the_address_of_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def codes() -> dict[str, str]:
        forget()
        identity.installed.cache_clear()
        names = {"posteriors": "tasks.judging.consensus", "untie": "tasks.judging.cycles"}
        return {name: identity.of_code(module, name) for name, module in names.items()}

    before, version = codes(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: f"{version(name)}{'+1' * (name == 'crowd-kit')}")
    after = codes()
    monkeypatch.undo()
    codes()
    assert after["posteriors"] != before["posteriors"]
    assert after["untie"] == before["untie"]


def test_two_queries_of_one_name_are_refused(tree: Path) -> None:
    (tree / "tasks/people/sql/opinions.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"opinions\.sql"):
        identity.queries()


def test_a_release_is_another_one_when_the_sums_of_its_stages_are(built: Built) -> None:
    others = [replace(stage, rows_in=stage.rows_in + 1) for stage in built.stages]
    assert release_fingerprint(built.config, others) != release_fingerprint(built.config, built.stages)
