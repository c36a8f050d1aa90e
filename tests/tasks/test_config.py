import subprocess
import sys
from pathlib import Path

import pytest

from tasks.config import load
from tasks.errors import ConfigError
from tests.conftest import ROOT, write_config


@pytest.mark.parametrize("path", sorted((ROOT / "flows/configs").glob("*.toml")), ids=lambda path: path.name)
def test_every_checked_in_config_is_valid(path: Path) -> None:
    assert load(str(path)).responders


def test_command_line_values_replace_the_files(tmp_path: Path) -> None:
    config = load(str(write_config(tmp_path)), prompts="other.csv", storage="elsewhere")
    assert (config.prompts.source, config.storage) == ("other.csv", "elsewhere")


SCRIPTED = 'kind = "scripted"'
ENDPOINT = 'kind = "openai", base_url = "https://a.org", model = "m", parameters = '


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "tested"', 'name = "tested"\ncolour = "blue"', "colour: unknown key"),
        ("samples = 2", "sampels = 2", "responders[0].sampels: unknown key"),
        ("samples = 2", "samples = 0", "responders[0].samples"),
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
        ("[prompts]", '[cluster]\nkind = "local"\ncpus = 0\n[prompts]', "cluster.cpus: Input"),
        ("test_share = 0.2", "test_share = 1.0", "prompts.test_share"),
        ("test_share = 0.2", 'test_share = "much"', "prompts.test_share"),
        ("test_share = 0.2", 'languages = ["en", "english"]', "prompts.languages[1]: Value error, no language"),
        ("test_share = 0.2", 'languages = "en"', "prompts.languages"),
        ("label_votes = 3", "label_votes = -1", "judges[0].label_votes"),
        ('name = "scripted-a"', 'name = "meta/llama"', "responders[0].name"),
        ('name = "scripted-a"', 'name = ".."', "responders[0].name"),
        ('name = "scripted-a"', 'name = "a..b"', "responders[0].name"),
        ('name = "scripted-b"', 'name = "SCRIPTED-A"', "share a name"),
        ('kind = "scripted"', 'kind = "oracle"', "oracle"),
        ('storage = "', 'storage = 3 # "', "storage"),
        (
            "[prompts]",
            '[[gate.agreement]]\nquestion = "safty"\nat_least = 0.6\n[prompts]',
            "gate.agreement[0].question",
        ),
        ("label_votes = 3", 'rubrics = ["standard", "standard"]', "rubrics name one twice"),
        ("[prompts]", "[approval]\ntimeout_hours = inf\n[prompts]", "approval.timeout_hours"),
        ("[prompts]", "[review]\nwait_hours = 1e9\n[prompts]", "review.wait_hours"),
        ("[prompts]", "[pairs]\nbudget = 9\nboth_safe = 0\nboth_unsafe = 0\nmixed = 0\n[prompts]", "above 0"),
        ("[prompts]", '[[gate.agreement]]\nquestion = "Drugs"\nat_least = 2\n[prompts]', "gate.agreement[0].at_least"),
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
