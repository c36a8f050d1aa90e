import json
import re
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from infra import sbom
from tests.conftest import ROOT

Document = dict[str, Any]
LICENSES: dict[str, tuple[dict[str, str], dict[str, Any] | None]] = {
    "expression": (
        {"License-Expression": "MIT OR Apache-2.0", "License": "Other"},
        {"expression": "MIT OR Apache-2.0"},
    ),
    "identifier": ({"License": "Apache-2.0"}, {"license": {"id": "Apache-2.0"}}),
    "name": ({"License": "Our own"}, {"license": {"name": "Our own"}}),
    "whole text": (
        {"License": "Permission\nis granted", "Classifier": "License :: OSI Approved :: X"},
        {"license": {"name": "X"}},
    ),
    "nothing": ({"Classifier": "Programming Language :: Python"}, None),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    sbom.main(file)
    return file.read_text()


@pytest.fixture(scope="module")
def document(written: str) -> Document:
    found: Document = json.loads(written)
    return found


def of_type(document: Document, name: str) -> dict[tuple[str, str | None], Document]:
    return {(part["name"], part.get("version")): part for part in document["components"] if part["type"] == name}


def values(part: Document, name: str) -> set[str]:
    return {told["value"] for told in part["properties"] if told["name"] == name}


def test_it_is_valid_by_the_schema_and_what_is_not_is_not_written(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    validator = JsonStrictValidator(sbom.VERSION)
    few: Document = json.loads(json.dumps(document | {"components": document["components"][:3], "dependencies": []}))
    assert validator.validate_str(json.dumps(few)) is None
    few["components"][0]["type"] = "parcel"
    assert validator.validate_str(json.dumps(few)) is not None
    broken = SimpleNamespace(output_as_string=lambda **_: json.dumps(few))
    monkeypatch.setattr(sbom, "make_outputter", lambda *_: broken)
    with pytest.raises(SystemExit, match="not valid CycloneDX: 'parcel' is not one of"):
        sbom.main(tmp_path / "sbom.json")
    assert not (tmp_path / "sbom.json").exists()


@pytest.mark.parametrize("lock", sorted(path.stem for path in sbom.LOCKS.glob("*.lock")))
def test_each_package_of_each_lock_is_there_with_all_its_hashes(document: Document, lock: str) -> None:
    libraries = of_type(document, "library")
    name, seen = ("", ""), 0
    for line in (sbom.LOCKS / f"{lock}.lock").read_text().splitlines():
        if package := re.match(r"([^ =]+)==([^ ]+)", line):
            name = (package[1], package[2])
            assert lock in values(libraries[name], "safepairs:lock")
            seen += 1
        if digest := re.search(r"sha256:(\w{64})", line):
            (files,) = libraries[name]["externalReferences"]
            assert {"alg": "SHA-256", "content": digest[1]} in files["hashes"]
            seen += 1
    assert seen == len(re.findall(r"==|--hash=", re.sub(r";.*", "", (sbom.LOCKS / f"{lock}.lock").read_text())))


def test_what_is_installed_here_and_locked_says_its_licence(document: Document) -> None:
    here = [part for part in of_type(document, "library").values() if ".venv" in values(part, "safepairs:installed")]
    assert len(here) > 100
    assert not [part["name"] for part in here if values(part, "safepairs:lock") and not part.get("licenses")]


def test_both_models_are_there_with_their_licence_and_each_of_their_files(document: Document) -> None:
    models = of_type(document, "machine-learning-model")
    listed = (ROOT / "tasks/engines/embedded_models.sha256").read_text().splitlines()
    assert {name for name, _ in models} == {line.split()[1].split("/")[0] for line in listed}
    files = {part["name"]: part["hashes"][0]["content"] for model in models.values() for part in model["components"]}
    assert {line.split()[1]: line.split()[0] for line in listed}.items() <= files.items()
    assert "SmolLM2-135M-Instruct.Q4_1.gguf" in files
    for (name, _), model in models.items():
        assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
        assert model["hashes"] == [{"alg": "SHA-256", "content": files[f"{name}/model.safetensors"]}]
    assert "\nlicense: apache-2.0\n" in (ROOT / ".models/all-minilm-l6-v2/README.md").read_text()


def test_the_project_depends_on_what_it_names_and_on_the_models(document: Document) -> None:
    assert document["metadata"]["component"]["name"] == "safepairs"
    (ours,) = (told["dependsOn"] for told in document["dependencies"] if told["ref"] == "safepairs")
    names = {re.sub(r"^pkg:pypi/|@.*$", "", reference) for reference in ours}
    assert {"ray", "prefect", "duckdb", "great-expectations", "model:all-minilm-l6-v2"} <= names
    assert not {"pytest", "vllm", "label-studio"} & names


def test_it_tells_nothing_of_this_machine(written: str) -> None:
    assert not [place for place in (ROOT, Path.home()) if len(place.parts) > 1 and str(place) in written]


@pytest.mark.parametrize("case", LICENSES)
def test_a_licence_is_an_expression_else_a_name_else_what_it_is_classified_as(case: str) -> None:
    told, expected = LICENSES[case]
    message: Any = Message()
    for key, value in told.items():
        message[key] = value
    found: Any = sbom.license_of(message)
    if expected is None:
        assert found is None
    elif "expression" in expected:
        assert found.value == expected["expression"]
    else:
        assert {key: getattr(found, key) for key in expected["license"]} == expected["license"]


def test_a_lock_is_read_whole_whatever_its_lines_are() -> None:
    text = (
        f"A_b.c==1.0+x ; python_version < '3' \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\nd==2\n"
    )
    assert dict(sbom.locked(text)) == {("a-b-c", "1.0+x"): {"0" * 64, "1" * 64}, ("d", "2"): set()}
