"""The demo's configuration with the embedded model, whatever that model says: sums, shapes and names."""

import json
import re
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from flows.pipeline import pipeline
from tasks.work.job import RunJob
from tests.conftest import ROOT

PROMPTS = ("Why do cats purr?", "How does rain form?")
SAMPLES = 4
ANSWER_TOKENS = 24
VERDICT_TOKENS = 600
"""More than a verdict can have: its schema bounds its texts, 80 characters of four bytes and three categories."""


def write_config(folder: Path) -> Path:
    """The demo with fewer votes, and as many samples that two of one prompt differ, whatever the processor's logits."""
    text = (ROOT / "flows/configs/demo.toml").read_text()
    tokens = iter((ANSWER_TOKENS, VERDICT_TOKENS))
    text = re.sub(r"(?m)^(max_tokens) = \d+", lambda found: f"{found[1]} = {next(tokens)}", text)
    text = re.sub(r"(?m)^samples = \d+", f"samples = {SAMPLES}", text)
    text = re.sub(r"(?m)^label_votes = \d+", "label_votes = 1", text)
    config = folder / "demo.toml"
    config.write_text(text.replace('= "flows', f'= "{ROOT}/flows').replace(".models", f"{ROOT}/.models"))
    return config


def test_the_embedded_model_makes_a_release(
    tmp_path: Path, cluster: RunJob, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads of one computation wait for the slowest: beside the other lane of tests, two of them are slower than one.
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 1})
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    release, stages = pipeline(str(write_config(tmp_path)), prompts=str(prompts), storage=str(tmp_path / "storage"))
    stage = {stage.name: stage for stage in stages}

    assert all(stage.rows_in == stage.rows_kept + stage.dropped.rows for stage in stages)
    answers = duckdb.read_parquet(f"{release.uri}/annotations/responses.parquet")
    kept = dict(answers.aggregate("prompt, count(*)").fetchall())
    assert kept.keys() <= set(PROMPTS)
    assert all(number <= 2 for number in kept.values())
    assert stage["prompts_to_responses"].rows_in == len(PROMPTS) * (1 + SAMPLES)
    assert stage["prompts_to_responses"].rows_kept == len(answers)
    assert all(0 < tokens <= ANSWER_TOKENS for (tokens,) in answers.select("output_tokens").fetchall())

    # The grammar holds the judge to verdicts that can be read: each question is asked once, and a pair's in both orders.
    verdicts = duckdb.read_parquet(f"{release.uri}/annotations/verdicts.parquet")
    assert verdicts.filter("problem IS NOT NULL").fetchall() == []
    pairs = stage["pairs_to_preferences"].rows_in
    assert pairs == sum(number == 2 for number in kept.values()) > 0
    votes = Counter(verdicts.select("annotator, annotator_kind, question").fetchall())
    asked = {"harm": len(answers), "helpfulness": 2 * pairs, "harmlessness": 2 * pairs, "overall": 2 * pairs}
    assert votes == {("smollm2-135m", "model", question): number for question, number in asked.items()}
    assert stage["responses_to_labels"].rows_kept == len(answers)
    assert stage["pairs_to_preferences"].rows_kept == pairs
    requests = {name: stage.cost.asked for name, stage in stage.items() if stage.cost.asked}
    assert requests == {
        "prompts_to_responses": len(PROMPTS) * (1 + SAMPLES),
        "responses_to_labels": len(answers),
        "pairs_to_preferences": 6 * pairs,
    }
    assert all(stage[name].cost.output_tokens >= number for name, number in requests.items())

    folder = Path(release.uri)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["verdict"]["passed"]
    assert manifest["responders"]["smollm2-135m"].startswith("llama@")
    released = {name: duckdb.read_parquet(f"{folder}/{name}/*/*.parquet") for name in ("qa", "dual", "single")}
    assert {name: len(rows) for name, rows in released.items()} == {"qa": len(answers), "dual": pairs, "single": pairs}
    assert len(duckdb.read_parquet(f"{folder}/dropped.parquet")) == sum(stage.dropped.rows for stage in stages)
