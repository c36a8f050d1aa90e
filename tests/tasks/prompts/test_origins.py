import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from tasks import warehouse
from tasks.config import Config, load
from tasks.errors import ConfigError, SafePairsError, SourceError
from tasks.identity import query
from tasks.prompts.prompts import build_prompts
from tasks.prompts.sources import parse
from tasks.release.candidate import describe_files
from tasks.tables import PROMPTS, Stage, screened
from tests.conftest import write_config
from tests.tasks.release import releases

Table = dict[str, Any]


def toml(sources: Sequence[Table]) -> str:
    """Sources of prompts, as a configuration has them."""
    tables = ("\n".join(f"{key} = {json.dumps(value)}" for key, value in source.items()) for source in sources)
    return "".join(f"[[prompts.sources]]\n{table}\n" for table in tables)


def config(folder: Path, *sources: Table) -> Config:
    """A scripted configuration with these sources in the place of its file."""
    path = write_config(folder)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("source =")) + toml(sources))
    return load(str(path))


def write(path: Path, prompts: Sequence[str], **columns: str) -> dict[str, str]:
    """A file of prompts, as the keys of a source."""
    path.write_text("".join(json.dumps({"prompt": prompt} | columns) + "\n" for prompt in prompts))
    return {"kind": "file", "file": str(path)}


def rows(stage: Stage, name: str = "prompts") -> list[Table]:
    uri = stage.dropped.uri if name == "dropped" else stage.tables[name].uri
    found: list[Table] = duckdb.read_parquet(uri).to_arrow_table().to_pylist()
    return found


def kept(stage: Stage) -> Counter[str]:
    """How many prompts of each source are kept."""
    return Counter(row["prompt_source"] for row in rows(stage))


def test_prompts_of_several_files_have_the_names_of_their_sources_and_their_drops_too(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", ["Why?", "How?"], prompt_source="somebody")
    second = write(tmp_path / "b.jsonl", ["Who?", "Why?", " "])
    stage = build_prompts(
        config(tmp_path, {"name": "one", **first}, {"name": "two", **second}), str(tmp_path / "tables")
    )
    assert [(row["prompt"], row["prompt_source"]) for row in rows(stage)] == [
        ("Why?", "one"),
        ("How?", "one"),
        ("Who?", "two"),
    ]
    assert [(row["id"], row["reason"], row["evidence"]) for row in rows(stage, "dropped")] == [
        ("two row 2", "duplicate", "line 2, same as one row 1"),
        ("two row 3", "blank", "line 3"),
    ]
    told = warehouse.rows("prompt_sources", {"prompts": [stage.tables["prompts"]], "dropped": [stage.dropped]})
    assert told == [
        {"source": "one", "kept": 2, "left_out": 0, "why": None},
        {"source": "two", "kept": 1, "left_out": 2, "why": "1 blank, 1 duplicate"},
    ]


def test_a_dataset_is_read_as_its_readme_says_or_by_the_names_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "data set[1]"
    (folder / "data").mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        pq.write_table(pa.table({"prompt": [f"{name}?"], "prompt_source": ["x"]}), folder / f"data/{name}.parquet")
    (folder / "notes.txt").write_text("no prompts")
    source = {"kind": "dataset", "name": "set", "folder": str(folder)}
    stage = build_prompts(config(tmp_path, source), str(tmp_path / "tables"))
    assert [row["prompt"] for row in rows(stage)] == ["train-00000-of-00002?", "train-00001-of-00002?"]
    other = build_prompts(config(tmp_path, source | {"split": "test"}), str(tmp_path / "tables"))
    assert [row["prompt"] for row in rows(other)] == ["test-00000-of-00001?"]
    write(folder / "easy.jsonl", ["Easy?", " "])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: easy\n  data_files: easy.jsonl\n"
        "- config_name: hard\n  data_files:\n  - split: train\n    path: data/test-*\n---\n"
    )
    easy = build_prompts(config(tmp_path, source | {"subset": "easy"}), str(tmp_path / "tables"))
    assert [row["prompt"] for row in rows(easy)] == ["Easy?"]
    assert [(row["id"], row["evidence"]) for row in rows(easy, "dropped")] == [("set row 2", "line 2")]
    hard = build_prompts(config(tmp_path, source | {"subset": "hard"}), str(tmp_path / "tables"))
    assert [row["prompt"] for row in rows(hard)] == ["test-00000-of-00001?"]
    assert "name one of easy, hard" in refusal(config(tmp_path, source))
    assert "its subsets are easy, hard" in refusal(config(tmp_path, source | {"subset": "soft"}))
    assert "its splits are train" in refusal(config(tmp_path, source | {"subset": "easy", "split": "validation"}))


def test_the_files_of_a_dataset_are_those_that_its_own_library_reads(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    made = datasets.DatasetDict(
        train=datasets.Dataset.from_dict({"prompt": [f"Why {number}?" for number in range(7)]}),
        validation=datasets.Dataset.from_dict({"prompt": ["Who?"]}),
    )
    for split, data in made.items():
        data.to_parquet(folder / f"{split}.parquet")
    for split in made:
        source = {"kind": "dataset", "name": "set", "folder": str(folder), "split": split}
        stage = build_prompts(config(tmp_path, source), str(tmp_path / "tables"))
        loaded = datasets.load_dataset(str(folder), split=split, cache_dir=str(tmp_path / "cache"))
        assert [row["prompt"] for row in rows(stage)] == loaded["prompt"][:]


def refusal(settings: Config) -> str:
    with pytest.raises(SafePairsError) as raised:
        parse(settings)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize("path", ["../a.jsonl", "/etc/passwd", "{folder}/../a.jsonl", "link.jsonl"])
def test_a_dataset_leads_to_no_file_outside_its_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(tmp_path / "a.jsonl", ["Why?"])
    (folder / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {path.format(folder=folder)}\n---\n"
    )
    said = refusal(config(tmp_path, {"kind": "dataset", "name": "set", "folder": str(folder)}))
    assert "names a file outside" in said


def test_what_is_no_dataset_is_one_line_that_names_the_source(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/README.md").write_text("---\nconfigs: [5\n---\n")
    for folder in ("empty", "odd", "absent"):
        said = refusal(config(tmp_path, {"kind": "dataset", "name": "mine", "folder": str(tmp_path / folder)}))
        assert said.startswith("mine: ")
        assert str(tmp_path / folder) in said


def publish(root: str, prompts: dict[str, list[str]]) -> str:
    """The version of a release with these prompts by split."""
    candidate, _ = releases.write(root)
    for split, texts in prompts.items():
        sink = pa.BufferOutputStream()
        columns = {"prompt": pa.array(texts, pa.string()), "prompt_source": pa.array(["x"] * len(texts), pa.string())}
        pq.write_table(pa.table(columns), sink)
        storage.write_bytes(f"{candidate.uri}/prompts/{split}.parquet", sink.getvalue().to_pybytes())
    files = tuple(describe_files(candidate.uri))
    return releases.publish_candidate(root, candidate, files).version


def test_prompts_of_an_earlier_release_are_those_that_were_published(tmp_path: Path, root: str) -> None:
    version = publish(root, {"train": ["Why?", "How?"], "test": []})
    source = {"kind": "release", "name": "before", "version": version, "storage": root}
    stage = build_prompts(config(tmp_path, source), str(tmp_path / "tables"))
    assert [(row["prompt"], row["prompt_source"]) for row in rows(stage)] == [("Why?", "before"), ("How?", "before")]
    assert f"its releases are {version}" in refusal(config(tmp_path, source | {"version": "2020.01.01"}))
    storage.write_bytes(f"{root}/releases/{version}/prompts/train.parquet", b"")
    assert "prompts/train.parquet was changed" in refusal(config(tmp_path, source))


def test_a_release_stands_in_the_storage_of_the_run_unless_another_is_named(tmp_path: Path) -> None:
    version = publish(str(tmp_path / "storage"), {"train": ["Why?"]})
    stage = build_prompts(
        config(tmp_path, {"kind": "release", "name": "before", "version": version}), str(tmp_path / "tables")
    )
    assert stage.rows_kept == 1


def test_a_count_is_the_most_that_is_taken_and_what_is_taken_stays_when_prompts_are_added(tmp_path: Path) -> None:
    prompts = [f"What is {number}?" for number in range(50)]
    few = write(tmp_path / "a.jsonl", prompts[:40])
    more = write(tmp_path / "b.jsonl", prompts[::-1])
    taken = []
    for number, file in enumerate((few, more)):
        stage = build_prompts(config(tmp_path, {"name": "a", "count": 20, **file}), str(tmp_path / f"tables{number}"))
        assert kept(stage) == {"a": 20}
        assert stage.rows_in == stage.rows_kept + stage.dropped.rows
        assert {row["reason"] for row in rows(stage, "dropped")} == {"more than asked for"}
        taken.append({row["prompt"] for row in rows(stage)})
    assert taken[1] & set(prompts[:40]) <= taken[0]


def test_a_copy_of_a_prompt_that_is_not_taken_is_taken_from_a_source_that_gives_all(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [f"What is {number}?" for number in range(9)])
    stage = build_prompts(
        config(tmp_path, {"name": "few", "count": 2, **file}, {"name": "all", **file}), str(tmp_path / "tables")
    )
    assert kept(stage) == {"all": 9}


def test_shares_are_those_of_all_prompts_that_are_taken(tmp_path: Path) -> None:
    sources = [
        {"name": name, **write(tmp_path / f"{name}.jsonl", [f"{name} {number}?" for number in range(rows)])}
        for name, rows in (("a", 100), ("b", 100), ("c", 30))
    ]
    found = build_prompts(
        config(tmp_path, sources[0] | {"share": 0.6}, sources[1] | {"share": 0.3}, sources[2] | {"share": 0.1}),
        str(tmp_path / "tables"),
    )
    assert kept(found) == {"a": 100, "b": 50, "c": 17}
    beside = build_prompts(
        config(tmp_path, sources[0] | {"count": 60}, sources[1] | {"share": 0.25}, sources[2]),
        str(tmp_path / "tables"),
    )
    assert kept(beside) == {"a": 60, "b": 30, "c": 30}


@given(
    st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(1, 40))), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=3),
)
def test_each_source_gives_its_share_of_what_is_taken_or_all_that_it_has(
    free: list[tuple[int, int | None]], shared: list[tuple[int, int]]
) -> None:
    weights = [weight / (sum(weight for _, weight in shared) + 10) for _, weight in shared]
    has = [size for size, _ in free] + [size for size, _ in shared]
    limits: list[Table] = [{"name": f"s{n}", "count": limit, "share": None} for n, (_, limit) in enumerate(free)]
    limits += [{"name": f"s{n}", "count": None, "share": share} for n, share in enumerate(weights, start=len(free))]
    looked_at = pa.Table.from_pylist(
        [
            {"id": f"s{n} row {m}", "prompt_id": f"{n} {m}", "prompt_source": f"s{n}"}
            for n, size in enumerate(has)
            for m in range(size)
        ],
        schema=screened(PROMPTS).schema,
    )
    with warehouse.connect({}) as connection:
        connection.register("screened", looked_at)
        found = connection.execute(query("taken_prompts"), {"limits": limits}).to_arrow_table().to_pylist()
    assert [row["id"] for row in found] == looked_at["id"].to_pylist()
    taken = Counter(row["prompt_source"] for row in found if row["reason"] is None)
    for n, (size, limit) in enumerate(free):
        assert taken[f"s{n}"] == min(size, size if limit is None else limit)
    total = sum(taken[f"s{n}"] for n in range(len(free))) / (1 - sum(weights))
    for n, share in enumerate(weights, start=len(free)):
        assert taken[f"s{n}"] == has[n] or abs(taken[f"s{n}"] - share * total) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "give `source`, one file, or `sources`"),
        ([{"name": "a", "share": 0.5}], "come to 1"),
        ([{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}], "come to 1"),
        ([{"name": "a", "share": 1.0}, {"name": "b"}], "less than 1"),
        ([{"name": "a", "share": 0.5, "count": 1}], "keep one"),
        ([{"name": "a"}, {"name": "a"}], "share a name"),
    ],
)
def test_sources_that_cannot_be_are_refused(tmp_path: Path, sources: list[Table], said: str) -> None:
    file = write(tmp_path / "a.jsonl", ["Why?"])
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, *(source | file for source in sources))


def test_prompts_of_the_command_line_replace_all_sources(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", ["Why?"])
    config(tmp_path, {"name": "a", **file})
    replaced = load(str(tmp_path / "config.toml"), prompts="other.csv")
    assert (replaced.prompts.source, replaced.prompts.sources) == ("other.csv", ())


def test_sources_without_any_usable_prompt_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [" "])
    with pytest.raises(SourceError, match=r"^mine: no usable prompt among 1 rows"):
        build_prompts(config(tmp_path, {"name": "mine", **file}), str(tmp_path / "tables"))
