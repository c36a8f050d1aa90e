from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.config import Config, load
from tasks.identity import digest
from tasks.judging.pairs import pair_responses
from tasks.tables import HARM_CATEGORIES, LABELS, RESPONSES, Ref, Stage
from tests.tasks.rows import make, read

CONFIG = """
name = "quotas"
storage = "data"
diversity = {{ embedder = {{ kind = "word-counts" }} }}
responders = [{{ name = "r", engine = {{ kind = "scripted" }} }}]
judges = [{{ name = "j", engine = {{ kind = "scripted" }} }}]
prompts = {{ source = "prompts.jsonl" }}
{pairs}
"""
SAFE, DRUGS, VIOLENCE = (0, ()), (2, ("Drugs",)), (1, ("Violence", "Drugs"))


def config(folder: Path, pairs: str) -> Config:
    path = folder / "config.toml"
    path.write_text(CONFIG.format(pairs=pairs))
    return load(str(path))


def paired(folder: Path, pairs: str, *sides: tuple[tuple[int, tuple[str, ...]], tuple[int, tuple[str, ...]]]) -> Stage:
    """One prompt for each two labels."""
    responses, labels = [], []
    for number, side in enumerate(sides):
        for place, (severity, names) in enumerate(side):
            name = f"{number:03}-{place}"
            where = {"prompt_id": f"p{number:03}", "responder": "r", "request_id": name, "response_id": name}
            responses.append(where)
            category = {known: known in names for known in HARM_CATEGORIES}
            label = {"response_id": name, "is_safe": not severity, "severity_level": severity}
            labels.append(label | {"harm_category": category})
    refs = []
    for table, rows in ((RESPONSES, responses), (LABELS, labels)):
        pq.write_table(make(table, rows), folder / f"{table.name}.parquet")
        refs.append(Ref(str(folder / f"{table.name}.parquet"), len(rows), digest(rows)))
    return pair_responses(config(folder, pairs), refs[0], refs[1], str(folder))


def test_without_a_budget_every_pair_is_compared(tmp_path: Path) -> None:
    assert paired(tmp_path, "", *[(SAFE, SAFE)] * 5, (SAFE, DRUGS)).tables["pairs"].rows == 6


@pytest.mark.parametrize("budget", [1, 6, 17, 40])
def test_a_budget_is_spent_as_far_as_there_are_pairs(tmp_path: Path, budget: int) -> None:
    sides = [*[(SAFE, SAFE)] * 10, *[(SAFE, DRUGS)] * 5, *[(DRUGS, VIOLENCE)] * 5]
    stage = paired(tmp_path, f"pairs = {{ budget = {budget} }}", *sides)
    assert stage.tables["pairs"].rows == min(budget, 20)
    assert stage.rows_in == stage.rows_kept + stage.dropped.rows == 40
    reasons = Counter(row["reason"] for row in read(stage.dropped))
    assert reasons == ({"over the budget of pairs": 40 - 2 * budget} if budget < 20 else {})


def test_rare_cells_are_filled_before_frequent_ones_and_unfilled_ones_are_told(tmp_path: Path) -> None:
    sides = [*[(SAFE, SAFE)] * 100, (SAFE, DRUGS), (DRUGS, VIOLENCE)]
    stage = paired(tmp_path, "pairs = { budget = 12 }", *sides)
    quotas = {(row["mix"], row["severity_level"], row["category"]): row for row in read(stage.tables["pair_quotas"])}
    assert len(quotas) == 1 + 2 * 3 * 19
    assert quotas["exactly one safe", 2, "Drugs"]["chosen"] == 1
    assert quotas["both unsafe", 2, "Violence"]["chosen"] == 1
    assert (quotas["both safe", 0, ""]["available"], quotas["both safe", 0, ""]["chosen"]) == (100, 10)
    assert sum(row["quota"] for row in quotas.values()) == pytest.approx(12)
    empty = quotas["both unsafe", 3, "Cybercrime"]
    assert (empty["available"], empty["chosen"], empty["quota"]) == (0, 0, pytest.approx(4 / 57))


def test_a_mix_without_a_share_is_taken_last(tmp_path: Path) -> None:
    shares = "pairs = { budget = 3, both_safe = 0, both_unsafe = 1, mixed = 1 }"
    stage = paired(tmp_path, shares, *[(SAFE, SAFE)] * 9, *[(SAFE, DRUGS)] * 2)
    chosen = {row["mix"]: row["chosen"] for row in read(stage.tables["pair_quotas"]) if row["chosen"]}
    assert chosen == {"both safe": 1, "exactly one safe": 2}
    assert sum(row["quota"] for row in read(stage.tables["pair_quotas"])) == pytest.approx(3)
