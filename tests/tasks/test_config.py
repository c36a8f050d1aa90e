import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.config import load
from tasks.errors import ConfigError
from tests.conftest import ROOT, write_config

CONFIGS = sorted((ROOT / "flows/configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_checked_in_config_is_valid(path: Path) -> None:
    assert load(str(path)).responders


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    plain = load(str(path))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(str(path)) == plain


def test_command_line_values_replace_the_files(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)), prompts="other.csv", storage="elsewhere")
    assert (config.prompts.source, config.storage) == ("other.csv", "elsewhere")


SCRIPTED = 'kind = "scripted"'
VLLM = 'kind = "vllm", model = "m", revision = "1", max_model_len = '
ENDPOINT = 'kind = "openai", base_url = "https://a.org", model = "m", parameters = '


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "tested"', 'name = "tested"\ncolour = "blue"', "colour: unknown key"),
        ("samples = 2", "sampels = 2", "responders[0].sampels: unknown key"),
        ("samples = 2", "samples = 0", "responders[0].samples"),
        ("samples = 2", "samples = true", "responders[0].samples: Input should be a valid integer"),
        ("samples = 2", 'samples = "2"', "responders[0].samples: Input should be a valid integer"),
        ("samples = 2", "samples = 2.0", "responders[0].samples: Input should be a valid integer"),
        ("samples = 2", "temperature = true", "responders[0].temperature: Input should be a valid number"),
        ("samples = 2", "system = 3", "responders[0].system: Input should be a valid string"),
        ("samples = 2", "system = 2026-01-02", "responders[0].system: Input should be a valid string"),
        ("samples = 2", "samples = 0x" + "f" * 5000, "a number in it is too long"),
        ('name = "tested"', 'name = "tested"\ngate = 2026-01-02', "gate: Input should be"),
        ('name = "tested"', 'name = "tested"\nreview = 2026-01-02', "review: Input should be"),
        (SCRIPTED, f"{ENDPOINT}2026-01-02 }}\n#", "engine.parameters: Input should be"),
        ('name = "tested"', 'name = "tested"\ncolour = ' + "[" * 300 + "]" * 300, "stand too deep in each other"),
        (SCRIPTED, f"{ENDPOINT}{{}}, logprobs = 1 }}\n#", "engine.logprobs: Input should be a valid boolean"),
        (
            SCRIPTED,
            f'{ENDPOINT}{{ max_token = "" }} }}\n#',
            "engine.parameters.max_token.[key]: Input should be 'temperature'",
        ),
        (SCRIPTED, f"{ENDPOINT}{{ seed = false }} }}\n#", "engine.parameters.seed: Input should be a valid string"),
        (SCRIPTED, f'{ENDPOINT}{{ seed = "a b" }} }}\n#', "engine.parameters.seed"),
        (SCRIPTED, f'{ENDPOINT}{{ seed = "top_p" }} }}\n#', "parameters: `top_p` is the name of something else too"),
        (SCRIPTED, f'{ENDPOINT}{{ seed = "model" }} }}\n#', "parameters: `model` is the name of something else too"),
        ("seconds_per_row = ", "second_per_row = ", "responders[0].engine.second_per_row: unknown key"),
        ("test_share = 0.2", "test_share = 1.0", "prompts.test_share"),
        ("test_share = 0.2", 'test_share = "much"', "prompts.test_share"),
        ("test_share = 0.2", 'languages = ["en", "english"]', "prompts.languages[1]: no language"),
        ("test_share = 0.2", 'languages = "en"', "prompts.languages"),
        ("label_votes = 3", "label_votes = -1", "judges[0].label_votes"),
        (
            SCRIPTED,
            f"{VLLM}512 }}\n#",
            "responders[0]: max_tokens leaves no room for a prompt; set it below max_model_len",
        ),
        (f"{SCRIPTED}, block_rows = 64", f"{VLLM}256 }}\n#", "judges[0]: max_tokens leaves no room for a prompt"),
        *(
            ('name = "scripted-a"', f'name = "{name}"', "responders[0].name")
            for name in ("meta/llama", "..", "a..b", "a" * 300, "", "ä")
        ),
        ('name = "scripted-b"', 'name = "SCRIPTED-A"', "share a name"),
        (
            'kind = "scripted"',
            'kind = "oracle"',
            "engine: `kind` should be one of 'transformers', 'vllm', 'openai', 'scripted'",
        ),
        ('storage = "', 'storage = 3 # "', "storage"),
        ('storage = "', 'storage = "file://host/a" # "', "storage: a storage is a folder or s3://bucket/prefix"),
        ('source = "', 'source = "reference://p::/etc/passwd" # "', "prompts.source: a chain has simplecache://"),
        ('source = "', 'source = "memory://p.csv" # "', "prompts.source: files are read from a path, or from s3://"),
        ("label_votes = 3", 'rubrics = ["standard", "standard"]', "rubrics name one twice"),
        ('name = "tested"', 'name = "tested"\nseed = -1', "seed: Input should be greater than or equal to 0"),
        ('name = "tested"', f'name = "tested"\nseed = {2**63}', "seed: Input should be less than or equal to"),
        ("test_share = 0.2", "test_share = nan", "prompts.test_share: Input should be a finite number"),
        ("samples = 2", "temperature = 0.001", "responders[0].temperature: it should be 0 or at least 0.01"),
        ("samples = 2", "raised_temperature = 1e-300", "responders[0].raised_temperature"),
        (SCRIPTED, f"{SCRIPTED}, replicas = {2**31}", "engine.replicas"),
        *(
            (SCRIPTED, f'kind = "openai", base_url = "https://h/v1{query}", model = "m" }}\n#', "base_url: a query")
            for query in ("?key=secret", "?", "#secret")
        ),
        *(
            ("[prompts]", f"{section}\n[prompts]", named)
            for section, named in (
                ('[cluster]\nkind = "local"\ncpus = 0', "cluster.cpus: Input"),
                ('[cluster]\nkind = "kuberay"\nimage = "i"\nmemory = "0Gi"', "between 1Mi and 1024Ti"),
                ('[cluster]\nkind = "kuberay"\nimage = "i"\nmemory = "9999999Ti"', "cluster.memory"),
                ('[cluster]\nkind = "kuberay"\nimage = "i"\nnamespace = "../a"', "cluster.namespace"),
                ('[cluster]\nkind = "kuberay"\nimage = "i\\u0000"', "cluster.image: control characters"),
                ('[cluster]\nkind = "attach"\naddress = "http://"', "cluster.address: it is no address"),
                ('[cluster]\nkind = "attach"\naddress = "http://a:99999"', "cluster.address: it is no address"),
                ('[[gate.agreement]]\nquestion = "safty"\nat_least = 0.6', "gate.agreement[0].question"),
                ('[[gate.agreement]]\nquestion = "Drugs"\nat_least = 2', "gate.agreement[0].at_least"),
                ('[[gate.agreement]]\nquestion = "Drugs"\nat_least = nan', "gate.agreement[0].at_least"),
                ("[gate.engine_errors]\nwarning = 0.5\ncritical = 0.1", "warning is above critical"),
                ("[approval]\ntimeout_hours = inf", "approval.timeout_hours"),
                ("[review]\nwait_hours = 1e9", "review.wait_hours"),
                ('[review.label_studio]\nurl = "https://a b"', "review.label_studio.url: it is no address"),
                ('[review.label_studio]\nurl = "http://127.0.0.1:80a0"', "url: it is no address"),
                ('[review.label_studio]\nurl = "https://a"\nkey_variable = ""', "key_variable"),
                ("[pairs]\nbudget = 9\nboth_safe = 0\nboth_unsafe = 0\nmixed = 0", "above 0"),
                *(
                    (f'[{section}\n{key} = "https://{address}"', f"{key}: {said}")
                    for section, key in (("review.label_studio]", "url"), ('cluster]\nkind = "attach"', "address"))
                    for address, said in (
                        ("me:secret@h", "a user or a password is in it"),
                        ("secret@h", "a user or a password is in it"),
                        ("h?token=secret", "a query or a fragment is in it"),
                    )
                ),
            )
        ),
        ('storage = "', 'storage = "s3://key:secret@bucket/prefix" # "', "storage: credentials stand in environment"),
        ('source = "', 'source = "s3://key:se/cret@b/x.csv" # "', "prompts.source: credentials stand in environment"),
        (SCRIPTED, 'kind = "transformers", model = "" }\n#', "engine.model: it is blank"),
        (SCRIPTED, 'kind = "transformers", model = "a\\nb" }\n#', "engine.model: control characters"),
        ('source = "', 'source = "a\\u0000.csv" # "', "prompts.source: control characters"),
    ],
)
def test_impossible_values_are_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load(str(path))
    assert named in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


HIDDEN = "sesame_0pens"


@pytest.mark.parametrize(
    "text",
    [
        f"{HIDDEN}",
        f"{HIDDEN} = 1\n{HIDDEN} = 2\n",
        f"[{HIDDEN}]\n[{HIDDEN}]\n",
        f"[{HIDDEN}]\n",
        f'name = "{HIDDEN} {HIDDEN}"\nstorage = ["{HIDDEN}"]\nseed = "{HIDDEN}"\n',
        f'name = "a"\nprompts = "{HIDDEN}"\njudges = ["{HIDDEN}"]\ncluster = {{ kind = "{HIDDEN}" }}\n',
        f'[[judges]]\nname = "{HIDDEN} a"\nengine = {{ kind = "{HIDDEN}" }}\nformat = "{HIDDEN}"\n'
        f'rubrics = ["{HIDDEN} b"]\n[review]\nlabel_studio = {{ url = "{HIDDEN}" }}\n',
        f'[[gate.agreement]]\nquestion = "{HIDDEN}"\nbetween = "{HIDDEN}"\nat_least = "{HIDDEN}"\n',
        f'[prompts]\nsource = "{HIDDEN}://{HIDDEN}"\nlanguages = ["{HIDDEN}"]\n',
        f"name = '{HIDDEN}\0'",
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
    ],
)
def test_an_error_says_no_value_of_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(str(path))
    assert HIDDEN not in str(raised.value)
    assert str(path) in str(raised.value)


WRONG = [HIDDEN, [HIDDEN], {HIDDEN: HIDDEN}, f"{HIDDEN}://{HIDDEN}", f"https://{HIDDEN} {HIDDEN}"]


def written(value: Any) -> str:
    """A value as TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(held)}" for key, held in value.items()) + "}"
    return f"[{', '.join(map(written, value))}]" if isinstance(value, list) else json.dumps(value)


def replaced(value: Any, by: Any) -> Iterator[Any]:
    """The same value with one of its parts replaced, for each of them in turn."""
    yield by
    for key, held in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for other in replaced(held, by):
            yield value | {key: other} if isinstance(value, dict) else [*value[:key], other, *value[key + 1 :]]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_whichever_value_is_wrong_no_error_says_it(tmp_path: Path, config: Path) -> None:
    path, said = tmp_path / "any.toml", []
    for wrong in WRONG:
        for values in replaced(tomllib.loads(config.read_text()), wrong):
            if isinstance(values, dict):
                path.write_text("".join(f"{json.dumps(key)} = {written(held)}\n" for key, held in values.items()))
                try:
                    load(str(path))
                except ConfigError as error:
                    said.append(str(error))
    assert len(said) > 3 * len(WRONG)
    assert not [line for line in said if HIDDEN in line]


def test_names_that_are_shared_are_not_said(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("scripted-a", HIDDEN).replace("scripted-b", HIDDEN))
    with pytest.raises(ConfigError, match="responders: two of them share a name") as raised:
        load(str(path))
    assert HIDDEN not in str(raised.value)


def test_what_is_not_toml_or_not_there_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="not TOML"):
        load(str(broken))
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "absent.toml"))


def test_reading_a_config_starts_nothing_that_takes_seconds() -> None:
    heavy = ("ray", "torch", "vllm", "openai", "transformers", "sentence_transformers")
    found = f"import sys, tasks.config; print(sorted(set(sys.modules) & {set(heavy)}))"
    done = subprocess.run([sys.executable, "-c", found], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
