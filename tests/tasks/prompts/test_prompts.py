from pathlib import Path

import duckdb
import pytest

from tasks.config import load
from tasks.errors import SourceError
from tasks.prompts.prompts import build_prompts
from tasks.tables import Stage
from tests.conftest import write_config


def build(folder: Path, prompts: list[str]) -> Stage:
    folder.mkdir(exist_ok=True)
    return build_prompts(load(str(write_config(folder, prompts))), str(folder / "tables"))


def rows(stage: Stage, name: str = "prompts") -> list[dict[str, object]]:
    uri = stage.dropped.uri if name == "dropped" else stage.tables[name].uri
    found: list[dict[str, object]] = duckdb.read_parquet(uri).to_arrow_table().to_pylist()
    return found


def test_prompts_are_normalised(tmp_path: Path) -> None:
    stage = build(tmp_path, ["  cafe\u0301\u00a0\u200b  noir \r\n\r\n\n\n au lait\t"])
    assert [row["prompt"] for row in rows(stage)] == ["café noir\n\n au lait"]


def test_indentation_stays_and_invisible_characters_go(tmp_path: Path) -> None:
    stage = build(tmp_path, ["Explain:\n    if x:  \n\treturn  1\nco\u00adope\u200brate"])
    assert [row["prompt"] for row in rows(stage)] == ["Explain:\n    if x:\n\treturn 1\ncooperate"]


def test_what_is_left_out_has_a_reason_and_the_sum_holds(tmp_path: Path) -> None:
    prompts = ["Why?", " \u00a0\n", "x" * 100_000, "a\x00b", " Why? ", "How?"]
    stage = build(tmp_path, prompts)
    assert {row["id"]: row["reason"] for row in rows(stage, "dropped")} == {
        "row 2": "blank",
        "row 3": "too long",
        "row 4": "NUL character",
        "row 5": "duplicate",
    }
    assert stage.rows_in == len(prompts) == stage.rows_kept + stage.dropped.rows


def test_evidence_never_holds_the_prompt(tmp_path: Path) -> None:
    stage = build(tmp_path, ["secret secret", "secret secret", "secret " * 1000])
    assert not any("secret" in str(row["evidence"]) for row in rows(stage, "dropped"))


def test_a_prompt_never_changes_sides(tmp_path: Path) -> None:
    few = [f"What is {number}?" for number in range(40)]
    first = {row["prompt"]: row["split"] for row in rows(build(tmp_path / "a", few))}
    more = [f"Who is {number}?" for number in range(40)] + few[::-1]
    second = {row["prompt"]: row["split"] for row in rows(build(tmp_path / "b", more))}
    assert set(first.values()) == {"train", "test"}
    assert all(second[prompt] == split for prompt, split in first.items())


def test_copies_that_differ_in_case_punctuation_or_order_share_a_side(tmp_path: Path) -> None:
    copies = ["How do I boil an egg?", "how do i boil an EGG", "An egg: how do I boil?"]
    assert len({(row["cluster_id"], row["split"]) for row in rows(build(tmp_path, copies))}) == 1


def test_a_file_without_a_usable_prompt_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no usable prompt among 3 rows \(2 blank, 1 too long\)"):
        build(tmp_path, ["", " ", "x" * 5000])
