"""A model is what is loaded of its folder: whatever else stands there, whatever it is called, however often it is looked at."""

import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from tasks.engines import hashes
from tasks.engines.checkpoints import checkpoint_identity
from tasks.engines.vllm import Vllm

CHAT = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
OLDER = ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.json")
SPELLED = (
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "qwen.tiktoken", "tokenizer.4.40.0.json"),
    *("tokenizer.model.v3", "rwkv_vocab_v20230424.txt"),
)
MODULES = json.dumps([{"path": "", "type": "a"}, {"path": "1_Pooling", "type": "b"}, {"path": "2_Dense", "type": "c"}])
LOADED: dict[str, dict[str, str]] = {
    "one file": dict.fromkeys(
        (*CHAT, *OLDER, *SPELLED, "model.safetensors", "additional_chat_templates/tools.jinja"), ""
    ),
    "shards": dict.fromkeys((*CHAT, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), "")
    | {
        "model.safetensors.index.json": json.dumps(
            {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
        )
    },
    "shards elsewhere": dict.fromkeys((*CHAT, "parts/1.safetensors"), "")
    | {"model.safetensors.index.json": json.dumps({"weight_map": {"a": "parts/1.safetensors"}})},
    "an index without its shards": dict.fromkeys((*CHAT, "pytorch_model.bin"), "")
    | {"model.safetensors.index.json": json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}})},
    "older files": dict.fromkeys((*CHAT, "pytorch_model-00001-of-00001.bin"), "")
    | {"pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}})},
    "quantized": dict.fromkeys((*CHAT, "gptq.pt", "quantize_config.json", "hf_quant_config.json"), ""),
    "of Mistral": dict.fromkeys(
        (*CHAT, "params.json", "tekken.json", "model-1.safetensors", "consolidated-1.safetensors"), ""
    )
    | {
        f"{name}.safetensors.index.json": json.dumps({"weight_map": {"a": f"{name}-1.safetensors"}})
        for name in ("model", "consolidated")
    },
    "an adapter": dict.fromkeys(("adapter_config.json", "adapter_model.safetensors", "new_embeddings.safetensors"), ""),
    "an adapter within": dict.fromkeys(
        ("config.json", "adapter_config.json", "adapter_model.safetensors", "pytorch_model.bin"), ""
    ),
    "sentence-transformers": dict.fromkeys(
        (
            "config.json",
            "sentence_bert_config.json",
            "config_sentence_transformers.json",
            "vocab.txt",
            "model.safetensors",
        ),
        "",
    )
    | dict.fromkeys(("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"), "")
    | {"modules.json": MODULES},
}
"""Files of models, each of which is loaded."""
LEFT = (
    *("README.md", "LICENSE", "train.log", "notes.txt", "trainer_state.json", "training_args.bin", "optimizer.pt"),
    *("scheduler.pt", "rng_state.pth", "rng_state_0.pth", "all_results.json", "eval_results.json", "modelcard.json"),
    *("events.out.tfevents.1", "checkpoint-500/config.json", "checkpoint-500/model.safetensors"),
    *("runs/today/log.json", "original/consolidated.00.pth", "onnx/model.onnx", "modeling.py", "model.gguf"),
    *("tf_model.h5", ".cache/a.metadata", ".git/config", ".config.json.swp", "__pycache__/modeling.cpython-311.pyc"),
    *("config.json~", "config.json.bak", ".DS_Store", "1_Old/config.json", "other.jinja"),
)
"""What stands beside a model and is never loaded."""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def identity(folder: Path) -> str:
    checkpoint_identity.cache_clear()
    config = "config.json" if (folder / "config.json").is_file() else "adapter_config.json"
    return checkpoint_identity(str(folder), config)


@pytest.mark.parametrize("kind", LOADED)
def test_a_model_is_what_is_loaded_of_its_folder_and_nothing_else(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    for name, text in LOADED[kind].items():
        write(folder, name, text or "{}")
    before = identity(folder)
    for name, text in LOADED[kind].items():
        write(folder, name, f"{text or '{}'} ")
        assert identity(folder) != before, name
        (folder / name).unlink()
        if name not in ("config.json", "adapter_config.json"):
            assert identity(folder) != before, name
        write(folder, name, text or "{}")
        assert identity(folder) == before, name
    for name in LEFT:
        write(folder, name, "{}")
    assert identity(folder) == before
    if kind == "shards":
        write(folder, "pytorch_model.bin", "")
    (folder / ".#config.json").symlink_to("user@host.1:2")
    (folder / "chat_template.jinja.link").symlink_to("nowhere")
    (folder / "vocab.folder.json").mkdir()
    (folder / "gone.model").symlink_to("nowhere")
    assert identity(folder) == before
    folder.rename(tmp_path / "another name")
    assert identity(tmp_path / "another name") == before


ODD_FILES = {
    "model.safetensors.index.json": [
        "",
        "[]",
        "{",
        '{"weight_map": 5}',
        '{"weight_map": {"a": 5, "b": "", "c": "/", "d": "\\u0000"}}',
    ],
    "modules.json": ["", "{}", "5", '[5, {}, {"path": 5}, {"path": ".."}, {"path": "gone"}, {"path": "\\u0000"}]'],
    "router_config.json": ["", "[]", '{"types": 5}', '{"types": {"gone": 1, "*": 1}}'],
    "config.json": ["", "[", "[]", '{"model_type": 5}', '{"model_type": "a/b"}', '{"rope_scaling": 5}', "[" * 100_000],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in ODD_FILES.items() for text in texts])
def test_files_of_a_model_that_say_what_they_should_not_are_no_fault_of_its_identity(
    tmp_path: Path, name: str, text: str
) -> None:
    for file in (*CHAT, "model.safetensors"):
        write(tmp_path, file, "{}")
    before = identity(tmp_path)
    write(tmp_path, name, text)
    assert identity(tmp_path).partition("@")[0] == "model"
    assert identity(tmp_path) != before
    before = identity(tmp_path)
    write(tmp_path, "tokenizer.json", "[]")
    assert identity(tmp_path) != before
    assert "long" not in Vllm(kind="vllm", model=str(tmp_path)).identity()


def test_raising_the_length_of_a_model_asks_nothing_again_unless_it_reads_all_positions_otherwise(
    tmp_path: Path,
) -> None:
    def of(positions: int) -> str:
        return Vllm(kind="vllm", model=str(tmp_path), max_model_len=positions).identity()

    write(tmp_path, "config.json", '{"model_type": "llama"}')
    assert of(512) == of(131_072)
    factors: list[dict[str, object]] = [
        {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 4096},
        {"rope_scaling": {"type": "su"}, "original_max_position_embeddings": 4096},
        {"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 4096}},
    ]
    for told in factors:
        write(tmp_path, "config.json", json.dumps({"model_type": "phi3"} | told))
        checkpoint_identity.cache_clear()
        assert of(512) == of(4096) != of(4097) == of(131_072)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that were hashed, file by file, on a day when nothing has changed for long."""
    found: list[int] = []
    sha256_of = storage.sha256_of

    def counted(stream: Any, tell: Callable[[int], None]) -> str:
        found.append(0)

        def tell_both(more: int) -> None:
            found[-1] += more
            tell(more)

        return sha256_of(stream, tell_both)

    monkeypatch.setattr(storage, "sha256_of", counted)
    monkeypatch.setattr(hashes, "LARGE", 4)
    monkeypatch.setattr(hashes, "time", Later)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, text in (("config.json", "{}"), ("model.safetensors", "weights")):
        write(tmp_path / "model", name, text)
    return found


class Later:
    """The clock of tomorrow."""

    monotonic = time.monotonic

    @staticmethod
    def time() -> float:
        return time.time() + 86_400


def test_a_large_file_is_read_once_as_long_as_it_stays_as_it_is(tmp_path: Path, read: list[int]) -> None:
    folder, weights = tmp_path / "model", tmp_path / "model/model.safetensors"
    before = identity(folder)
    assert read == [2, 7]
    assert identity(folder) == before
    assert read == [2, 7, 2]

    def replace(text: str) -> None:
        write(folder, "new", text)
        (folder / "new").replace(weights)

    changes: list[tuple[Callable[[str], object], str]] = [
        (weights.write_text, "Weights"),
        (weights.write_text, "weightS"),
        (replace, "WEIGHTS"),
    ]
    told = {before}
    for change, text in changes:
        found = weights.stat()
        change(text)
        os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
        told.add(identity(folder))
        assert read[-1] == 7
        identity(folder)
        assert read[-1] == 2
    assert len(told) == 1 + len(changes)
    os.utime(weights)
    assert identity(folder) in told
    assert read[-1] == 7
    write(folder, "model-2.safetensors", "more")
    weights.unlink()
    identity(folder)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    assert [Path(path).name for path in json.loads(kept.read_text())] == ["model-2.safetensors"]


def test_what_changed_a_moment_ago_or_will_tomorrow_is_read_again(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "time", time)
    weights = tmp_path / "model/model.safetensors"
    for settled in (None, time.time() - 86_400, time.time() + 86_400):
        if settled:
            os.utime(weights, (settled, settled))
        identity(tmp_path / "model")
        identity(tmp_path / "model")
        assert read[-2:] == [2, 7]


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, read: list[int]) -> None:
    weights = tmp_path / "model/model.safetensors"
    hashes.hashed(weights, lambda _: os.utime(weights, (1, 1)))
    assert read == [7]
    assert hashes.digests({"a": weights}, "m") == hashes.digests({"a": weights}, "m")
    assert read == [7, 7]


@pytest.mark.parametrize(
    "kept",
    [b"", b"{", b"[]", b"\xff", b"5", b"[" * 100_000, b'{"PATH": 5}', b'{"PATH": [STATE, "g"]}', b'{"PATH": [STATE]}'],
)
def test_what_is_kept_and_cannot_be_read_is_made_again(tmp_path: Path, read: list[int], kept: bytes) -> None:
    folder, weights = tmp_path / "model", tmp_path / "model/model.safetensors"
    before = identity(folder)
    state = json.dumps(hashes.state(weights.stat())).encode()
    (file,) = (tmp_path / "cache").rglob("*.json")
    file.write_bytes(kept.replace(b"PATH", str(weights).encode()).replace(b"STATE", state))
    assert identity(folder) == identity(folder) == before
    assert read == [2, 7, 2, 7, 2]


@pytest.mark.parametrize("home", ["/proc/nowhere", "a file", "relative", "", "/"])
def test_a_model_is_known_where_nothing_can_be_kept(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file") if home == "a file" else home
    monkeypatch.setenv("XDG_CACHE_HOME", place if home.startswith("/p") else home.strip("/"))
    monkeypatch.setenv("HOME", place)
    monkeypatch.chdir(tmp_path)
    assert identity(tmp_path / "model") == identity(tmp_path / "model")
    assert read == [2, 7, 2, 7]
    assert not (tmp_path / "relative").exists()


def test_processes_that_keep_hashes_at_once_leave_a_file_that_can_be_read(tmp_path: Path, read: list[int]) -> None:
    files = [tmp_path / f"{number}.safetensors" for number in range(16)]
    for file in files:
        file.write_text(f"weights of {file.name}")
    with ThreadPoolExecutor(8) as pool:
        first = [one.result() for one in [pool.submit(hashes.digests, {"a": file}, "m") for file in files]]
    (kept,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert json.loads(kept.read_text())
    assert [hashes.digests({"a": file}, "m") for file in files] == first


def test_what_takes_long_to_hash_is_told(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tasks")
    identity(tmp_path / "model")
    assert not caplog.messages
    monkeypatch.setattr(hashes, "SECONDS_BETWEEN_REPORTS", -1)
    monkeypatch.setattr(storage, "AT_ONCE", 4)
    (tmp_path / "model/model.safetensors").write_text("Weights")
    identity(tmp_path / "model")
    assert len(caplog.messages) == 3
    tell = hashes.progress("llama", 141_200_000_000)
    tell(70_000_000_000)
    tell(1_000_000_000)
    assert caplog.messages[-1] == "model llama: 71.0 of 141.2 GB hashed, to tell it from others"
