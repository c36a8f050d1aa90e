import re
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DOCKERFILE = (ROOT / "infra/Dockerfile").read_text()
STEPS = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
SOURCES = [source for step in STEPS if step.startswith("COPY ") for source in step.split()[1:-1]]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|AUTH")


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_image_copies_is_there_and_not_ignored(source: str) -> None:
    assert list(ROOT.glob(source))
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch(source, pattern) or source == pattern for pattern in kept)


def test_nothing_else_reaches_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(SOURCES)


def test_the_image_runs_as_an_ordinary_user_and_holds_no_secret() -> None:
    assert [step for step in STEPS if step.startswith("USER ")][-1] == "USER 1000"
    settings = [step for step in STEPS if step.startswith(("ENV ", "ARG "))]
    assert not [step for step in settings if SECRET.search(step)]


def test_the_image_has_what_kuberay_calls() -> None:
    assert re.search(r"apt-get install .*\bwget\b", DOCKERFILE)
    assert "ray[data,default]" in (ROOT / "pyproject.toml").read_text()


def test_every_published_port_is_of_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_credential_comes_from_the_environment() -> None:
    values = [
        value
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if SECRET.search(name)
    ]
    assert values
    assert all(re.fullmatch(r"\$\{(AWS_\w+|PREFECT_LOGIN):\?\}", value) for value in values)
    keys = re.findall(r'"(?:accessKey|secretKey)": "(.*?)"', COMPOSE["configs"]["keys"]["content"])
    assert keys == ["${AWS_ACCESS_KEY_ID:?}", "${AWS_SECRET_ACCESS_KEY:?}"]


def test_services_refer_to_what_is_there() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services)
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= set(COMPOSE["volumes"])
        assert "healthcheck" in service or name == "deploy"


def test_the_prefect_server_asks_for_a_login_and_answers_pages_of_its_own_only() -> None:
    services = {name: found["environment"] for name, found in COMPOSE["services"].items() if "environment" in found}
    asked = services["prefect"]
    assert asked["PREFECT_SERVER_API_AUTH_STRING"] == "${PREFECT_LOGIN:?}"
    assert asked["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",") == ["http://127.0.0.1:4200", "http://localhost:4200"]
    for name in ("deploy", "worker"):
        assert services[name]["PREFECT_API_AUTH_STRING"] == "${PREFECT_LOGIN:?}"
