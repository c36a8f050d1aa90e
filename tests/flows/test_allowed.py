import re
from pathlib import Path

import pytest

from flows.pipeline import pipeline
from flows.running.allowed import SERVED, SHIPPED, VARIABLES, allow, check_allowed, given
from infra.storage import read_bytes, resolve, shown
from tasks.config import load
from tasks.errors import ConfigError

DEPLOYMENT = "PREFECT__RUNTIME__DEPLOYMENT__ID"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (SERVED, *VARIABLES.values()):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


def test_at_the_command_line_everything_is_allowed() -> None:
    check_allowed({"config": "/etc/passwd", "prompts": "https://h/a.csv", "storage": "/srv/a"})


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    "value",
    ["/etc/passwd", "s3://b/a", "file:///etc/passwd", "zip://a::/etc/passwd", "reference://p::/etc/passwd", "a", "~"],
)
def test_a_run_of_a_deployment_may_nothing_that_nobody_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(DEPLOYMENT, "some")
    with pytest.raises(ConfigError, match=VARIABLES[name]):
        check_allowed({name: value})


def test_a_run_of_a_deployment_may_what_its_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DEPLOYMENT, "some")
    monkeypatch.setenv(VARIABLES["prompts"], f"{tmp_path}/prompts, s3://bucket/prompts")
    check_allowed({"config": f"{SHIPPED}/demo.toml", "prompts": None, "storage": None})
    for prompts in (f"{tmp_path}/prompts/a.csv", "s3://bucket/prompts/a.csv", "zip://a.csv::s3://bucket/prompts/a.zip"):
        check_allowed({"prompts": prompts})
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/link.csv").symlink_to("/etc/passwd")
    for prompts in (f"{tmp_path}/a.csv", f"{tmp_path}/prompts/link.csv", "s3://bucket/a.csv", "http://h/a?x=.csv"):
        with pytest.raises(ConfigError):
            check_allowed({"prompts": prompts})


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", ["a\0b", "a\ud800b", "~a\0b", "zip://x::/etc/\0", "s3://b/\ud800"])
def test_an_address_that_no_file_has_is_refused_in_one_clean_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(DEPLOYMENT, "some")
    monkeypatch.setenv(VARIABLES[name], f"{SHIPPED},/etc,s3://b")
    with pytest.raises(ConfigError, match="no run of a deployment may use it") as raised:
        check_allowed({name: value})
    assert str(raised.value).isprintable()


def test_what_is_read_is_what_was_allowed_behind_links_and_dots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "other/below").mkdir(parents=True)
    (tmp_path / "allowed/link").symlink_to(tmp_path / "other/below")
    config = (Path(SHIPPED) / "scripted.toml").read_text()
    for folder in ("allowed", "other"):
        (tmp_path / folder / "a.toml").write_text(
            re.sub("^name = .*", f'name = "{folder}"', config, count=1, flags=re.M)
        )
    monkeypatch.setenv(DEPLOYMENT, "some")
    address = f"{tmp_path}/allowed/link/../a.toml"
    for name, variable in VARIABLES.items():
        monkeypatch.setenv(variable, f"{tmp_path}/allowed")
        check_allowed({name: address})
    assert load(address).name == "allowed"
    assert b'name = "allowed"' in read_bytes(resolve(address))


def test_runs_of_a_served_deployment_may_what_it_was_started_with_and_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DEPLOYMENT, "some")
    monkeypatch.chdir(tmp_path)
    started = {"config": "my, own.toml", "prompts": "s3://bucket/a,b.csv", "storage": "data"}
    allow(started)
    check_allowed(started)
    check_allowed({"storage": f"{tmp_path}/data/below"})
    for name, value in {"config": "other.toml", "prompts": "s3://bucket/a", "storage": "."}.items():
        with pytest.raises(ConfigError):
            check_allowed({name: value})


def test_a_credential_in_prompts_stands_in_no_parameter_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for prompts in ("https://me:secret@h/a.csv", "https://h/a.csv?sig=secret"):
        allow({"prompts": prompts})
        assert given("prompts", shown(prompts)) == prompts
        assert "secret" not in shown(prompts)
        assert given("prompts", "https://h/b.csv") == "https://h/b.csv"
        assert given("prompts", None) is None
        assert given("storage", "s3://b/a") == "s3://b/a"


def test_the_flow_of_a_deployment_refuses_before_it_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefect_server: None
) -> None:
    monkeypatch.setenv(DEPLOYMENT, "some")
    (tmp_path / "other.toml").write_text("not TOML, and nobody learns that")
    for name in ("prompts", "storage"):
        with pytest.raises(ConfigError, match=f"^{name} .*: no run of a deployment may use it"):
            pipeline(f"{SHIPPED}/scripted.toml", **{name: str(tmp_path)})
    with pytest.raises(ConfigError, match="no run of a deployment may use it"):
        pipeline(str(tmp_path / "other.toml"))
