import os
from pathlib import Path

import pytest
from prefect.blocks.system import Secret

from flows.running.credentials import load_credentials
from tasks.config import Config, load
from tasks.errors import ConfigError
from tests.conftest import write_config


def config(folder: Path, block: str) -> Config:
    path = write_config(folder)
    path.write_text(f'credentials_block = "{block}"\n' + path.read_text())
    return load(str(path))


def test_a_secret_block_becomes_the_environment(
    tmp_path: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_TESTED_KEY", "of the machine")
    Secret(value={"AWS_TESTED_KEY": "of the block"}).save("tested-s3")
    load_credentials(config(tmp_path, "tested-s3"))
    assert os.environ["AWS_TESTED_KEY"] == "of the block"


@pytest.mark.parametrize(("value", "said"), [(None, "no Secret block"), ("text", "no JSON object")])
def test_a_block_that_holds_no_variables_is_named(
    tmp_path: Path, prefect_server: None, value: str | None, said: str
) -> None:
    name = "tested-text" if value else "tested-absent"
    if value:
        Secret(value=value).save(name)
    with pytest.raises(ConfigError, match=f"credentials_block {name}: .*{said}"):
        load_credentials(config(tmp_path, name))


@pytest.mark.parametrize("held", [{"A=B": "secret"}, {"": "secret"}, {"A": "secret\0"}, {"A\0": "secret"}])
def test_what_no_variable_can_have_is_one_line_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: dict[str, str]
) -> None:
    monkeypatch.setattr(Secret, "load", lambda name: Secret(value=held))
    with pytest.raises(ConfigError, match="credentials_block odd: holds a name or a value that no variable") as raised:
        load_credentials(config(tmp_path, "odd"))
    assert "secret" not in str(raised.value)
