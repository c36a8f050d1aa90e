from pathlib import Path

import duckdb
import pytest

from tasks.config import load
from tasks.errors import SourceError
from tasks.prompts.prompts import build_prompts
from tasks.tables import Stage
from tests.conftest import write_config
from tests.tasks.languages import TEXTS
from tests.tasks.test_functions import DISTINCT_WORDS, NEAR_COPIES


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


def test_copies_that_differ_in_width_accents_or_segmentation_share_a_side(tmp_path: Path) -> None:
    for number, (one, other) in enumerate(NEAR_COPIES):
        found = rows(build(tmp_path / str(number), [one, other]))
        assert len({(row["cluster_id"], row["split"]) for row in found}) == 1, one


def test_prompts_of_distinct_words_and_of_symbols_alone_have_clusters_of_their_own(tmp_path: Path) -> None:
    prompts = [word for words in DISTINCT_WORDS.values() for word in words]
    assert len({row["cluster_id"] for row in rows(build(tmp_path, prompts))}) == len(prompts)


def test_an_invisible_character_makes_a_duplicate_and_no_other_prompt(tmp_path: Path) -> None:
    stage = build(
        tmp_path, ["hello world", "hello\u2060 world", "\u200ehello wor\u200dld", "hel\x07lo \U000e0041world"]
    )
    assert [row["reason"] for row in rows(stage, "dropped")] == ["duplicate"] * 3


def test_the_language_of_a_prompt_stands_beside_it(tmp_path: Path) -> None:
    prompts = {text: code for code, texts in TEXTS.items() for text in texts[:2]}
    assert {row["prompt"]: row["language"] for row in rows(build(tmp_path, [*prompts, "Why?", "👍"]))} == {
        **prompts,
        "Why?": None,
        "👍": None,
    }


def test_prompts_in_other_languages_than_asked_for_are_left_out_and_untold_ones_stay(tmp_path: Path) -> None:
    path = write_config(tmp_path, [TEXTS["en"][0], TEXTS["de"][0], TEXTS["zh"][0], "Why?"])
    config = load(str(path))
    asked = config.model_copy(update={"prompts": config.prompts.model_copy(update={"languages": ("en", "zh")})})
    stage = build_prompts(asked, str(tmp_path / "tables"))
    assert [(row["id"], row["reason"], row["evidence"]) for row in rows(stage, "dropped")] == [
        ("row 2", "other language", "line 2, de")
    ]


def test_a_file_without_a_usable_prompt_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no usable prompt among 3 rows \(2 blank, 1 too long\)"):
        build(tmp_path, ["", " ", "x" * 5000])
