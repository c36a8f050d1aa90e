"""Read one TOML file into one frozen, checked configuration.

In: a path, and the command line's prompts and storage where given. Out: `Config`. Unknown keys and impossible values
are refused by name. Paths stay as written; `infra.storage.resolve` makes them absolute where they are used.
"""

import json
import math
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from infra import storage as stores
from tasks.engines.openai import OpenAI
from tasks.engines.scripted import Scripted
from tasks.engines.sentence_transformers import SentenceTransformers
from tasks.engines.transformers import Transformers
from tasks.engines.vllm import Vllm
from tasks.engines.word_counts import WordCounts
from tasks.errors import ConfigError, one_line
from tasks.functions import LANGUAGES
from tasks.section import LONGEST, LONGEST_PATH, Section, Variable, WebAddress, Words, without_controls
from tasks.tables import AGREEMENT_QUESTIONS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=64)]
"""A folder name in every release: letters, digits, `_`, `-` and single dots."""


def known_language(code: str) -> str:
    """The code; raises ValueError where no text is ever told to be in that language."""
    if code not in LANGUAGES:
        raise ValueError("no language that can be told; give its code in ISO 639-1, for instance en")
    return code


def readable(source: str) -> str:
    """The address; raises ValueError where it is none that files are read from."""
    if fault := stores.read_fault(source):
        raise ValueError(fault)
    return source


def writable(root: str) -> str:
    """The address; raises ValueError where it is none of a storage."""
    if fault := stores.root_fault(root):
        raise ValueError(fault)
    return root


def greedy_or_drawn(temperature: float) -> float:
    """The temperature; raises ValueError where it is so low that scores divided by it are no numbers, or another is taken."""
    if 0 < temperature < LOWEST:
        raise ValueError(f"it should be 0 or at least {LOWEST}")
    return temperature


def memory_of_a_pod(text: str) -> str:
    """The text; raises ValueError where no pod has so little or so much memory."""
    if not 2**20 <= float(text[:-2]) * UNITS[text[-2:]] <= 2**50:
        raise ValueError("it should be between 1Mi and 1024Ti")
    return text


Language = Annotated[str, AfterValidator(known_language)]
LOWEST = 0.01
"""A temperature above 0: vLLM takes this one for any that is lower."""
Temperature = Annotated[float, Field(ge=0, le=2), AfterValidator(greedy_or_drawn)]
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
Memory = Annotated[str, Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti)$"), AfterValidator(memory_of_a_pod)]
A_YEAR = 366 * 24
"""Hours: nobody waits longer."""
KEY = re.compile(r"\[key\]|[A-Za-z_-]{1,40}")
"""A key of a file that errors say: what is longer or holds digits may be no name."""


Engine = Annotated[Transformers | Vllm | OpenAI | Scripted, Field(discriminator="kind")]
Embedder = Annotated[SentenceTransformers | WordCounts, Field(discriminator="kind")]
Model = Annotated[Engine | Embedder, Field(discriminator="kind")]


class Source(Section):
    """What sources of prompts share: a name, which becomes their `prompt_source`, and how many of them are taken at most.

    `share` is that of all prompts that are taken, of all sources.
    """

    name: Name
    count: int | None = Field(None, ge=1, le=1_000_000_000)
    share: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def is_limited_once(self) -> Self:
        """A share is that of a total, which a count is not taken from."""
        if self.count is not None and self.share is not None:
            raise ValueError("count and share are both given; keep one")
        return self


class FileSource(Source):
    """Prompts of one file."""

    kind: Literal["file"]
    file: Annotated[Words, AfterValidator(readable)]


class DatasetSource(Source):
    """Prompts of one split of a folder in the layout of Hugging Face, and of one `subset`, where it has several."""

    kind: Literal["dataset"]
    folder: Annotated[Words, AfterValidator(readable)]
    subset: Words | None = None
    split: Words = "train"


class ReleaseSource(Source):
    """Prompts of an earlier release, of this storage or of another one."""

    kind: Literal["release"]
    version: str = Field(pattern=r"^[0-9]{4}\.[0-9]{2}\.[0-9]{2}(\.[0-9]+)?$")
    storage: Annotated[Words, AfterValidator(writable)] | None = None


class Prompts(Section):
    """Where the prompts come from and which of them are kept; those in other `languages` are not, where some are named.

    Either one file, `source`, whose rows say where they come from, or any number of `sources`.
    """

    source: Annotated[Words, AfterValidator(readable)] | None = None
    sources: tuple[Annotated[FileSource | DatasetSource | ReleaseSource, Field(discriminator="kind")], ...] = ()
    max_chars: int = Field(4000, ge=1, le=1_000_000_000)
    near_duplicates: float = Field(0.8, ge=0.5, le=1)
    test_share: float = Field(0.1, ge=0, lt=1)
    languages: tuple[Language, ...] = ()

    @model_validator(mode="after")
    def come_from_somewhere(self) -> Self:
        """One file or several sources, each with a name of its own, and shares that can all be reached."""
        if (self.source is None) == (not self.sources):
            raise ValueError("give `source`, one file, or `sources`, and not both")
        names = [source.name for source in self.sources]
        if len(names) != len(set(names)):
            raise ValueError("sources: two of them share a name; give each its own")
        shares = [source.share for source in self.sources if source.share is not None]
        total = math.fsum(shares)
        if shares and (not math.isclose(total, 1) if len(shares) == len(names) else total > 1 - 1e-9):
            raise ValueError(
                "sources: all shares should come to 1"
                if len(shares) == len(names)
                else "sources: all shares should come to less than 1, since others have none"
            )
        return self


class Responder(Section):
    """A model that answers prompts: once at `temperature`, `samples` times at `raised_temperature`."""

    name: Name
    engine: Engine
    system: str | None = None
    temperature: Temperature = 0.7
    raised_temperature: float = Field(1.0, ge=LOWEST, le=2)
    samples: int = Field(3, ge=1, le=1_000)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1, le=LONGEST)


class Diversity(Section):
    """How many answers a prompt and responder keep, and the model that tells how alike they are."""

    embedder: Embedder
    alternatives: int = Field(1, ge=1, le=100)


class Judge(Section):
    """A model that labels answers and compares pairs: one annotator, however many votes it has.

    `format` says what it is: a model that reads our `rubric`, or a safety classifier with an output of its own, which
    labels answers and compares no pairs. Each of `rubrics` (folders of `tasks/judging/rubric/`) is asked `label_votes` times.
    """

    name: Name
    engine: Engine
    format: Literal["rubric", "llama-guard-3", "wildguard"] = "rubric"
    rubrics: tuple[Name, ...] = Field(("standard",), min_length=1)
    label_votes: int = Field(1, ge=1, le=1_000)
    preference_votes: int = Field(1, ge=1, le=1_000)
    attempts: int = Field(2, ge=1, le=20)
    temperature: Temperature = 0.3
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1, le=LONGEST)


class Consensus(Section):
    """How the votes of several models become one label; people outrank models under either method.

    `majority` gives each annotator one vote; `dawid-skene` weighs each by its estimated confusion matrix.
    """

    method: Literal["majority", "dawid-skene"] = "majority"


class Pairs(Section):
    """How many pairs are compared, and how they are shared between mixes of safe and unsafe answers.

    The shares are relative to each other; a mix without one is only taken where the others have not enough.
    """

    budget: int = Field(ge=1, le=1_000_000_000)
    both_safe: float = Field(1 / 3, ge=0, le=1)
    both_unsafe: float = Field(1 / 3, ge=0, le=1)
    mixed: float = Field(1 / 3, ge=0, le=1)


class LabelStudio(Section):
    """A Label Studio server; its key comes from the environment variable `key_variable`."""

    url: WebAddress
    key_variable: Variable = "LABEL_STUDIO_API_KEY"


class Review(Section):
    """How much people are asked, and where.

    `answers` and `pairs` are the most that one run hands to people, each to `annotators` of them; `audit_share` of the
    answers are drawn at random.
    People see what models said `before` or `after` their own choice. Without `label_studio` there are only files. With
    `wait_hours` a run of a deployment is suspended until people are done, at most so long; else the next run reads them.
    """

    answers: int = Field(100, ge=0, le=1_000_000_000)
    pairs: int = Field(0, ge=0, le=1_000_000_000)
    annotators: int = Field(1, ge=1, le=1_000)
    audit_share: float = Field(0.2, ge=0, le=1)
    show_models: Literal["before", "after"] = "after"
    label_studio: LabelStudio | None = None
    wait_hours: float | None = Field(None, gt=0, le=A_YEAR)


class AgreementThreshold(Section):
    """A rule of the gate: an agreement of the release must reach `at_least`.

    A measure that does not exist, for want of annotators or of differing opinions, has not reached it.
    """

    question: Literal[AGREEMENT_QUESTIONS]  # type: ignore[valid-type]
    between: Literal["models", "people", "models and people"] = "models"
    measure: Literal["percent", "kappa", "alpha"] = "alpha"
    at_least: float = Field(ge=-1, le=1)
    severity: Literal["critical", "warning"] = "warning"


class EngineErrors(Section):
    """Rules of the gate: of nothing that a model is asked for may a larger share end in an error of its engine."""

    warning: float = Field(0.01, ge=0, le=1)
    critical: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def warns_before_it_refuses(self) -> Self:
        """Where both are given, what is refused is also warned of."""
        if {"warning", "critical"} <= self.model_fields_set and self.warning > self.critical:
            raise ValueError("engine_errors: warning is above critical; set it to at most as much")
        return self


class Gate(Section):
    """What the gate asks of a release beyond its fixed rules."""

    agreement: tuple[AgreementThreshold, ...] = ()
    engine_errors: EngineErrors = EngineErrors()


class Approval(Section):
    """A person must approve each release; `samples` rows of it are shown with their text, none by default."""

    timeout_hours: float = Field(72, gt=0, le=A_YEAR)
    samples: int = Field(0, ge=0, le=20)


class Local(Section):
    """A Ray cluster that a run starts on this machine."""

    kind: Literal["local"]
    cpus: int = Field(2, ge=1, le=1_000)
    jobs: int = Field(1, ge=1, le=1_000)


class Attach(Section):
    """An existing Ray cluster, by the address of its Jobs API; SafePairs must be installed on it."""

    kind: Literal["attach"]
    address: WebAddress
    jobs: int = Field(1, ge=1, le=1_000)


class KubeRay(Section):
    """A RayJob on Kubernetes for each model and stage, deleted at its end.

    Each worker pod has `cpus`, `memory` and the GPUs of one engine replica on one node; `secret` names the Kubernetes
    secret whose keys become environment variables there, for the storage's credentials.
    """

    kind: Literal["kuberay"]
    image: Words
    namespace: str = Field("default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    cpus: int = Field(4, ge=1, le=1_000)
    memory: Memory = "16Gi"
    secret: str | None = Field(None, pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")
    jobs: int = Field(1, ge=1, le=1_000)


Cluster = Annotated[Local | Attach | KubeRay, Field(discriminator="kind")]


class Budget(Section):
    """What one run may ask of engines before it stops: tokens in and out, hours of GPUs held."""

    max_tokens: int | None = Field(None, ge=1, le=10**15)
    max_gpu_hours: float | None = Field(None, gt=0, le=1_000_000_000)


class Config(Section):
    """One dataset: what goes in, who answers, who judges, where it goes and where it runs.

    `credentials_block` names a Prefect Secret block that holds environment variables for the storage.
    """

    name: Name
    storage: Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(writable), AfterValidator(without_controls)]
    seed: int = Field(0, ge=0, le=2**63 - 1)
    prompts: Prompts
    responders: tuple[Responder, ...] = Field(min_length=1)
    diversity: Diversity
    judges: tuple[Judge, ...] = Field(min_length=1)
    consensus: Consensus = Consensus()
    pairs: Pairs | None = None
    review: Review | None = None
    gate: Gate = Gate()
    approval: Approval | None = None
    cluster: Cluster = Local(kind="local")
    budget: Budget = Budget()
    credentials_block: Words | None = None

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        """A responder's folder and an annotator's votes must belong to one model each, and a judge must compare pairs."""
        if all(judge.format != "rubric" for judge in self.judges):
            raise ValueError(
                'judges: classifiers give no severity and compare no pairs; add one with format = "rubric"'
            )
        asked: dict[str, tuple[Responder | Judge, ...]] = {"responders": self.responders, "judges": self.judges}
        for key, section in asked.items():
            names = [entry.name.lower() for entry in section]
            if len(names) != len(set(names)):
                raise ValueError(f"{key}: two of them share a name; give each its own")
            for number, entry in enumerate(section):
                room = entry.engine.positions
                if room is not None and entry.max_tokens >= room:
                    raise ValueError(
                        f"{key}[{number}]: max_tokens leaves no room for a prompt; set it below max_model_len"
                    )
        for number, judge in enumerate(self.judges):
            if len(judge.rubrics) != len(set(judge.rubrics)):
                raise ValueError(f"judges[{number}]: rubrics name one twice; ask for more label_votes instead")
        if self.pairs and not self.pairs.both_safe + self.pairs.both_unsafe + self.pairs.mixed:
            raise ValueError("pairs: one of both_safe, both_unsafe and mixed must be above 0")
        return self


def load(path: str, prompts: str | None = None, storage: str | None = None) -> Config:
    """Read the TOML file at `path`; `prompts` and `storage` replace its own values.

    Raises:
        ConfigError: the file is missing, is not TOML, has an unknown key or an impossible value.
    """
    for key, given in (("configuration", path), ("prompts", prompts), ("storage", storage)):
        if given and not stores.is_unicode(given):
            raise ConfigError(f"{key} {one_line(given)}: its name is not in UTF-8; give another path")
    try:
        # Without `..` before links are followed, as every other address, so that it is the file that a deployment was allowed.
        values = tomllib.loads(Path(os.path.abspath(path)).read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError):
            raise ConfigError(f"{path}: {error.strerror}; give the path of a TOML configuration") from None
        raise ConfigError(f"{path}: not TOML{position(error)}; give the path of a TOML configuration") from None
    if prompts and isinstance(values.get("prompts", {}), dict):
        kept = {key: value for key, value in values.get("prompts", {}).items() if key != "sources"}
        values["prompts"] = kept | {"source": prompts}
    if storage:
        values["storage"] = storage
    try:
        # As JSON, where a list is a tuple and nothing else is taken for what it is not: `true` for 1, "3" for 3, a date for a text.
        return Config.model_validate_json(json.dumps(values, default=lambda _: [[]]), strict=True)
    except ValidationError as error:
        problems = "; ".join(describe(detail, values) for detail in error.errors(include_url=False))
        raise ConfigError(f"{path}: {problems}") from None
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{path}: a number in it is too long, or tables stand too deep in each other; mend it"
        ) from None


def position(error: Exception) -> str:
    """Where TOML ends to be TOML: the other words of its parser may quote the file."""
    found = re.search(r"\((at [a-z0-9, ]+)\)$", str(error))
    return f" {found[1]}" if isinstance(error, tomllib.TOMLDecodeError) and found else ""


def describe(detail: ErrorDetails, values: object) -> str:
    """`responders[0].samples: Input should be greater than or equal to 1`, for a fault found in `values`.

    It names keys and what is expected, never a value: whoever reads it need not be whoever may read the file.
    """
    where = ""
    reached: Any = values
    for part in detail["loc"]:
        # pydantic's location also names the kind of a section that is one of several.
        if isinstance(reached, dict) and reached.get("kind") == part:
            continue
        where += f"[{part}]" if isinstance(part, int) else f".{part if KEY.fullmatch(part) else '...'}"
        within = isinstance(reached, list) or (isinstance(reached, dict) and part in reached)
        reached = reached[part] if within else None
    match detail["type"]:
        case "extra_forbidden":
            message = "unknown key; remove it or mend its spelling"
        case "json_invalid":
            message = "tables or lists stand too deep in each other"
        case "union_tag_invalid":
            message = f"`kind` should be one of {detail['ctx']['expected_tags']}"
        case _:
            message = detail["msg"].removeprefix("Value error, ")
    return f"{where.lstrip('.') or 'file'}: {message}"
