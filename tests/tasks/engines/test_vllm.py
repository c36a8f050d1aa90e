"""What vLLM is sent, and what is not: with its tokenizer and the stages of `ray.data.llm`, without vLLM."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from shutil import copy
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.llm._internal.batch.stages.base import StatefulStageUDF, wrap_postprocess, wrap_preprocess
from transformers import AutoTokenizer

from tasks.engines.chat import example
from tasks.engines.checkpoints import longest
from tasks.engines.templates import FRAMES
from tasks.engines.vllm import ADAPTER, Vllm
from tasks.engines.vllm.answering import commit_answered, completion, engine_arguments, to_tokens
from tasks.errors import ModelError
from tests.conftest import ROOT
from tests.tasks.rows import Row

POSITIONS, MOST = 96, 24
WORD = "word "


MODEL = str(ROOT / ".models/smollm2-135m-instruct")


def counting(template: str) -> Any:
    return partial(to_tokens, source=MODEL, revision=None, template=template, positions=POSITIONS)


def request(name: str, user: str, **values: object) -> Row:
    texts = {"system": None, "user": user, "assistant": None, "json_schema": None, "decision": None}
    sampling = {"temperature": 0.5, "top_p": 1.0, "max_tokens": MOST, "seed": 1}
    return {"key": name} | texts | sampling | values


class Answering(StatefulStageUDF):  # type: ignore[misc]  # Ray's is not typed
    """A stage that answers what it is sent, and notes that."""

    sent: list[str]

    async def udf(self, rows: list[Row]) -> AsyncIterator[Row]:
        for row in rows:
            self.sent.append(row["key"])
            said = {"generated_text": "Yes.", "num_input_tokens": row["counted_tokens"], "num_generated_tokens": 2}
            more: Row = {"time_taken_llm": 0.1, "logprobs": None, "generated_tokens": [], "__inference_error__": ""}
            yield {self.IDX_IN_BATCH_COLUMN: row[self.IDX_IN_BATCH_COLUMN]} | said | more


async def through(stage: Answering, rows: list[Row]) -> list[Row]:
    (passed,) = [batch async for batch in stage({"data": rows})]
    return list(passed["data"])


def answer(folder: Path, *requests: Row) -> tuple[list[str], dict[str, Row]]:
    """Which requests reach the engine, and the row of each in the store."""
    prepare = wrap_preprocess(counting("chat"), "data")
    # Through Arrow, as between two stages of Ray Data: what one row lacks is null there.
    rows = pa.Table.from_pylist([prepare(row) for row in requests])["data"].to_pylist()
    stage = Answering("data")
    stage.sent = []
    passed = asyncio.run(through(stage, rows))
    finish = wrap_postprocess(partial(completion, positions=POSITIONS), "data", include_error_column=True)
    finished = [finish({"data": row}) for row in passed]
    names = {name for row in finished for name in row}
    answered = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in finished])
    (said,) = commit_answered(answered, str(folder)).to_pylist()
    (block,) = folder.glob("*.parquet")
    found = {row["request_id"]: row for row in pq.read_table(block).to_pylist()}
    assert said["input_tokens"] == sum(found[name]["input_tokens"] for name in stage.sent)
    assert said["estimated_input_tokens"] == said["estimated_output_tokens"] == 0
    return stage.sent, found


def words(template: str, tokens: int, **values: object) -> str:
    """A text whose request has so many tokens."""
    count = counting(template)
    one, two = (count(request("a", WORD * times, **values))["counted_tokens"] for times in (1, 2))
    return str(WORD * (1 + (tokens - one) // (two - one)))


def test_what_is_too_long_passes_the_engine_by_and_what_just_fits_does_not(tmp_path: Path) -> None:
    fits = words("chat", POSITIONS - MOST)
    asked = [
        request("short", "Hi."),
        request("fits", fits),
        request("too long", fits + WORD),
        request("no room", "Hi.", max_tokens=POSITIONS),
        request("emoji", "\U0001f9d1\U0001f3fd\u200d\U0001f680" * 20),
        request("judged", "Hi.", assistant=WORD * POSITIONS),
    ]
    sent, found = answer(tmp_path, *asked)
    assert sorted(sent) == ["fits", "short"]
    assert found["fits"]["input_tokens"] == POSITIONS - MOST
    assert (found["fits"]["completion"], found["fits"]["error"]) == ("Yes.", None)
    tokens = POSITIONS - MOST + 1
    said = f"longer than the model: {tokens} tokens and up to {MOST} of an answer are more than its {POSITIONS}"
    assert (found["too long"]["error"], found["too long"]["input_tokens"]) == (said, tokens)
    for name in ("no room", "emoji", "judged"):
        assert found[name]["error"].startswith("longer than the model: ")
        assert found[name]["completion"] is None


def test_a_block_of_which_nothing_fits_is_committed_without_the_engine(tmp_path: Path) -> None:
    sent, found = answer(tmp_path, *(request(name, WORD * 500) for name in "ab"))
    assert (sent, sorted(found)) == ([], ["a", "b"])


@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_it_is_counted_what_the_model_is_shown(template: str) -> None:
    row = request("a", "How are you?<|im_end|>", system="Be kind.")
    counted = counting(template)(row)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    if template == "alpaca":
        ids = tokenizer(FRAMES["alpaca"].format("Be kind.\n\nHow are you?<\\|im_end|>"))["input_ids"]
    else:
        chat = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "How are you?<\\|im_end|>"},
        ]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert counted["counted_tokens"] == len(ids)


LORA: Row = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "bias": "none",
    "task_type": "CAUSAL_LM",
}


def adapted(folder: Path, written: str) -> Vllm:
    """An engine with an adapter of which this is written."""
    (folder / ADAPTER).write_text(written)
    (folder / "config.json").write_text("{}")
    return Vllm(kind="vllm", model=str(folder), lora=str(folder))


@pytest.mark.parametrize(
    ("rank", "room"),
    [(1, 1), (2, 8), (8, 8), (9, 16), (16, 16), (64, 64), (65, 128), (257, 320), (321, 512), (512, 512)],
)
def test_there_is_room_for_the_rank_that_an_adapter_says(tmp_path: Path, rank: int, room: int) -> None:
    engine = adapted(
        tmp_path, json.dumps(LORA | {"r": rank, "rank_pattern": {}, "use_dora": False, "modules_to_save": []})
    )
    arguments = engine_arguments(engine)
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, room)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{}",
        json.dumps(LORA)[:-1],
        *(
            json.dumps({name: value for name, value in LORA.items() if name != left})
            for left in ("r", "lora_alpha", "target_modules")
        ),
        *(json.dumps(LORA | {"r": rank}) for rank in (0, -8, 513, 1024, 8.5, "8", None, True, [8])),
        *(json.dumps(LORA | {name: {"q_proj": 64}}) for name in ("rank_pattern", "alpha_pattern")),
        json.dumps(LORA | {"modules_to_save": ["lm_head"]}),
        json.dumps(LORA | {"trainable_token_indices": [1]}),
        json.dumps(LORA | {"alora_invocation_tokens": [1]}),
        json.dumps(LORA | {"layer_replication": [[0, 2], [1, 3]]}),
        *(json.dumps(LORA | {name: True}) for name in ("use_dora", "use_qalora", "lora_bias")),
        *(json.dumps(LORA | {"lora_alpha": alpha}) for alpha in (None, "16", True, [16])),
        json.dumps(LORA | {"bias": "all"}),
        json.dumps(LORA | {"peft_type": "IA3"}),
    ],
)
def test_an_adapter_that_vllm_does_not_take_is_one_line_before_anything_costs(tmp_path: Path, written: str) -> None:
    engine = adapted(tmp_path, written)
    with pytest.raises(ModelError, match=rf"^adapter {tmp_path}: .*; (use|mend|merge) ") as raised:
        engine.check(runs_here=False)
    assert "\n" not in str(raised.value)


def test_without_an_adapter_there_is_room_for_none_and_no_sampling_is_the_models(tmp_path: Path) -> None:
    arguments = engine_arguments(Vllm(kind="vllm", model=MODEL))
    assert (arguments["enable_lora"], arguments.get("max_lora_rank")) == (False, None)
    assert arguments["generation_config"] == "vllm"
    with pytest.raises(ModelError, match=f"model folder {tmp_path}: no {ADAPTER} there"):
        Vllm(kind="vllm", model=MODEL, lora=str(tmp_path)).check(runs_here=False)


@pytest.mark.parametrize("told", [b"{", b"[]", b'{"eos_token_id": "</s>"}', b'{"cache_implementation": "none such"}'])
def test_a_file_about_generating_that_vllm_would_not_start_with_is_one_line(tmp_path: Path, told: bytes) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        copy(Path(MODEL) / name, tmp_path)
    Vllm(kind="vllm", model=str(tmp_path)).check_requests([], runs_here=False)
    (tmp_path / "generation_config.json").write_bytes(told)
    with pytest.raises(ModelError, match=r"generation_config.json.*; mend it"):
        Vllm(kind="vllm", model=str(tmp_path)).check_requests([], runs_here=False)


def test_a_model_may_not_be_longer_than_its_configuration_says() -> None:
    room = int(longest(MODEL) or 0)
    asked = [example(None, shows_answer=False)]
    Vllm(kind="vllm", model=MODEL, max_model_len=room).check_requests(asked, runs_here=False)
    with pytest.raises(ModelError, match=f"set it to at most {room}"):
        Vllm(kind="vllm", model=MODEL, max_model_len=room + 1).check_requests(asked, runs_here=False)
