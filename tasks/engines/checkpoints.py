"""Find a model's or an adapter's folder, and tell it from every other.

In: a path as users write it. Out: the folder; the SHA-256 over what is loaded of it. A folder of `make models` must hold what
`embedded_models.sha256` says, byte for byte.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from infra import storage
from tasks.engines.hashes import digests
from tasks.errors import ModelError

EMBEDDED = Path(__file__).with_name("embedded_models.sha256")
"""Lines of sha256sum, which reads them too: `cd .models && sha256sum --check ../tasks/engines/embedded_models.sha256`."""

CONFIGURATION = ("*config*.json", "modules.json", "params.json")
"""The model's, its generation's, its tokenizer's, its quantization's; of sentence-transformers, and of Mistral."""
TOKENIZER = (
    *("tokenizer*.json", "*tokens*.json", "tekken.json", "*vocab*.json", "*vocab*.txt", "vocab.bpe", "merges*.txt"),
    *("*.model", "*.model.v*", "*.spm", "*.tiktoken", "*.tokenizer"),
    *("bpe.codes", "dict.txt", "emoji.json", "byte_maps.json"),
)
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja")
WEIGHTS = (("*.safetensors", "*.safetensors.index.json"), ("*.bin", "*.bin.index.json"), ("*.pt", "*.pth"))
"""Kinds of weights: the first one that is there is loaded."""
ADAPTER = ("adapter_config.json", "adapter_model.*", "new_embeddings.*")
NOT_LOADED = re.compile(r"\.|(training_args|optimizer|scheduler|scaler|rng_state)\b|trainer_state|rng_state_")
"""How names of what training leaves begin, and of what is hidden."""
OF_A_PART = (".json", ".safetensors", ".bin", ".txt", ".model")
KIND = re.compile(r"[A-Za-z0-9_-]{1,40}")


def checkpoint_folder(model: str, config: str = "config.json") -> Path:
    """The folder of a local model or adapter; raises ModelError where there is none."""
    folder = Path(storage.resolve(model))
    if not (folder / config).is_file():
        raise ModelError(f"model folder {model}: no {config} there; run `make models` or mend its path in the config")
    return folder


@cache
def checkpoint_identity(model: str, config: str = "config.json") -> str:
    """`<kind of model>@<first 16 digits of the SHA-256 over the names and bytes of the files that are loaded>`.

    Raises:
        ModelError: there is no such folder, or it is an embedded model's and holds something else.
    """
    folder = checkpoint_folder(model, config)
    loaded = loaded_files(folder, config)
    if folder.parent.name == ".models" and embedded_digests(folder.name):
        found = file_digests(folder)
        check_embedded(folder, folder.name, found)
    else:
        found = digests(loaded, model)
    content = hashlib.sha256()
    for name in sorted(loaded):
        content.update(os.fsencode(f"{name}\0") + bytes.fromhex(found[name]))
    told = read(folder / config)
    kind = told.get("model_type", told.get("peft_type"))
    return f"{kind if isinstance(kind, str) and KIND.fullmatch(kind) else 'model'}@{content.hexdigest()[:16]}"


def file_digests(folder: Path) -> dict[str, str]:
    """By its path below the folder, the SHA-256 of each file; hidden ones are what tools of the hub note beside a download."""
    names = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    shown = {name: path for name, path in names.items() if not any(part.startswith(".") for part in Path(name).parts)}
    return digests(shown, folder.name)


def loaded_files(folder: Path, config: str = "config.json") -> dict[str, Path]:
    """By its path below the folder, each file that `transformers`, vLLM or `sentence-transformers` load of a model or an adapter.

    All else, such as a log, a README, states of training and earlier checkpoints, changes no answer. Nor does Python code: it is
    never run. Of what might be loaded, rather too much is taken than too little.
    """
    if config == "adapter_config.json":
        return standing(folder, ADAPTER)
    found = standing(folder, (*CONFIGURATION, *TOKENIZER, *TEMPLATES))
    for kind in WEIGHTS:
        weights = standing(folder, kind)
        shards = {shard for name in weights if name.endswith(".index.json") for shard in shards_of(folder / name)}
        weights |= {shard: folder / shard for shard in shards if os.path.isfile(folder / shard)}
        found |= weights
        if any(not name.endswith(".json") for name in weights.keys() - standing(folder, ADAPTER).keys()):
            break
    for part in parts(folder):
        within = standing(folder / part, [f"**/*{suffix}" for suffix in OF_A_PART])
        found |= {f"{part}/{name}": path for name, path in within.items()}
    return found


def standing(folder: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """The files in a folder that match one of the patterns and do not look like states of training, by their paths below it."""
    found = (path for pattern in patterns for path in folder.glob(pattern) if not NOT_LOADED.match(path.name))
    return {str(path.relative_to(folder)): path for path in sorted(found) if os.path.isfile(path)}


def shards_of(index: Path) -> list[str]:
    """The files that an index of weights names."""
    shards = read(index).get("weight_map")
    return [shard for shard in shards.values() if isinstance(shard, str)] if isinstance(shards, dict) else []


def parts(folder: Path) -> Iterator[str]:
    """The folders of the parts that a model of sentence-transformers is made of."""
    modules, routes = read(folder / "modules.json").get(""), read(folder / "router_config.json").get("types")
    named = [module.get("path") for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    named += routes if isinstance(routes, dict) else []
    yield from (part for part in named if isinstance(part, str) and part.strip("./"))


def long_factors(model: str, positions: int) -> bool:
    """Whether vLLM takes the long ones of two sets of factors for all positions of a model, of which there may be so many."""
    told = read(Path(model) / "config.json")
    scaling = told.get("rope_scaling") or told.get("rope_parameters")
    if not isinstance(scaling, dict) or scaling.get("rope_type", scaling.get("type")) not in ("longrope", "su"):
        return False
    trained = scaling.get("original_max_position_embeddings", told.get("original_max_position_embeddings"))
    return isinstance(trained, int) and positions > trained


LENGTHS = (
    *(
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "model_max_length",
        "max_target_positions",
    ),
    *("max_sequence_length", "max_seq_length", "seq_len"),
)
"""Where a configuration says how many positions a model has, for vLLM: the least of them counts, but for `model_max_length`."""
SCALED_ALREADY = ("su", "longrope", "llama3")
"""Ways of rotating positions for which vLLM takes no factor; what is said of Gemma 3's it takes none of either."""


def longest(model: str) -> float | None:
    """The most positions that vLLM 0.29 gives a model, as its `_get_and_verify_max_len` derives them; None where nothing tells."""
    from transformers import AutoConfig  # noqa: PLC0415 (takes seconds)

    try:
        whole = AutoConfig.from_pretrained(model, trust_remote_code=False)
        told = whole.get_text_config()
    except Exception:  # noqa: BLE001 (nobody knows all that is wrong in a folder, and who loads it says it)
        return None
    lengths = [value for name in LENGTHS if isinstance(value := getattr(told, name, None), int | float)]
    own = getattr(told, "model_max_length", None)
    if not lengths:
        return None
    derived: float = own or min(lengths)
    scaling = getattr(whole, "rope_parameters", None) or {}
    ways = [way for way in scaling.values() if isinstance(way, dict)] or [scaling]
    factor = 1.0
    for way in ways if "gemma3" not in whole.model_type else []:
        kind = way.get("rope_type", way.get("type"))
        if kind not in SCALED_ALREADY:
            factor = way.get("factor", factor)
            if kind == "yarn":
                derived = way.get("original_max_position_embeddings") or derived
    derived *= factor or 1.0
    return max(derived, own or 0)


def read(file: Path) -> dict[str, Any]:
    """An object in JSON; a list as one under no name; nothing where there is none."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(file.read_bytes())
        return found if isinstance(found, dict) else {"": found}
    return {}


def embedded_digests(name: str) -> dict[str, str]:
    """The SHA-256 of each file of the embedded model of this name; nothing if there is none."""
    lines = (line.split(maxsplit=1) for line in EMBEDDED.read_text(encoding="utf-8").splitlines())
    return {file.removeprefix(f"{name}/"): sha256 for sha256, file in lines if file.startswith(f"{name}/")}


def check_embedded(folder: Path, name: str, found: Mapping[str, str]) -> None:
    """Raise ModelError where a folder holds other files than the embedded model of this name, if there is one."""
    known = embedded_digests(name)
    for file in sorted(known.keys() | found.keys()) if known else ():
        if known.get(file) != found.get(file):
            raise ModelError(
                f"model file {folder / file} {fault(file in known, found.get(file))} {EMBEDDED.name} says; delete {folder} "
                "and run `make models`, or keep a model of your own under another name"
            )


def fault(is_known: bool, sha256: str | None) -> str:
    """What is wrong with a file."""
    if sha256 is None:
        return "is not there, as"
    return f"has SHA-256 {sha256}, which is not what" if is_known else "is more than"
