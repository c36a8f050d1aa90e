import json
import re
from pathlib import Path

import duckdb

from flows.pipeline import pipeline
from tasks.work.job import RunJob
from tests.conftest import ROOT


def test_the_embedded_model_makes_a_release(tmp_path: Path, cluster: RunJob, prefect_server: None) -> None:
    text = (ROOT / "flows/configs/demo.toml").read_text()
    for key, value in {"samples": 1, "max_tokens": 160, "label_votes": 1}.items():
        text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
    text = text.replace("max_tokens = 160", "max_tokens = 24", 1).replace('= "flows', f'= "{ROOT}/flows')
    config = tmp_path / "demo.toml"
    config.write_text(text.replace(".models", f"{ROOT}/.models"))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in ("Why do cats purr?", "How does rain form?")))
    release, stages = pipeline(str(config), prompts=str(prompts), storage=str(tmp_path / "storage"))
    answers = duckdb.read_parquet(f"{release.uri}/annotations/responses.parquet")
    assert dict(answers.aggregate("prompt, count(*)").fetchall()) == {"Why do cats purr?": 2, "How does rain form?": 2}
    verdicts = duckdb.read_parquet(f"{release.uri}/annotations/verdicts.parquet")
    assert verdicts.filter("problem IS NOT NULL").fetchall() == []
    assert sum(stage.cost.output_tokens for stage in stages) > 100
    manifest = json.loads((Path(release.uri) / "manifest.json").read_text())
    assert manifest["responders"]["smollm2-135m"].startswith("smollm2-135m-instruct@")
