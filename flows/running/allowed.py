"""Say which parameters a run of a deployment may have: whoever may start runs need not own the machine that they run on.

In: the parameters of a run, and the environment of the process that runs it, which no parameter changes. Out: nothing, or
ConfigError. What a configuration says is not looked at: whoever may write it is trusted with models, keys and files.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import flows
from flows.running.waiting import can_wait
from infra import storage
from tasks.errors import ConfigError

VARIABLES = {"config": "SAFEPAIRS_CONFIGS", "prompts": "SAFEPAIRS_PROMPTS", "storage": "SAFEPAIRS_STORAGE"}
"""Where a parameter may lead: the variable of that name holds folders, files or buckets, separated by commas."""
SERVED = "SAFEPAIRS_SERVED"
"""The variable that holds what `make serve` was given, as JSON: its runs may have that too."""
SHIPPED = str(Path(flows.__file__).parent / "configs")
"""Configurations that come with the code are allowed where the variable says nothing."""


def check_allowed(parameters: Mapping[str, str | None]) -> None:
    """Refuse what a run of a deployment may not read or write; a run from the command line may whatever its user may.

    Raises:
        ConfigError: a parameter leads to no place that its variable names.
    """
    for name, value in parameters.items():
        if value and can_wait() and not any(storage.below(path_of(name, value), place) for place in allowed(name)):
            raise ConfigError(
                f"{name} {storage.shown(value)}: no run of a deployment may use it; name its folder or bucket in "
                f"{VARIABLES[name]}, in the environment of what runs deployments"
            )


def path_of(name: str, value: str) -> str:
    """The address that a parameter stands for: a configuration is a path, whatever it looks like."""
    return os.path.abspath(value) if name == "config" else value


def allowed(name: str) -> list[str]:
    """The places of one parameter."""
    listed = os.environ.get(VARIABLES[name], SHIPPED if name == "config" else "")
    served = json.loads(os.environ.get(SERVED, "{}")).get(name)
    return [*(place.strip() for place in listed.split(",") if place.strip()), *([served] if served else [])]


def given(name: str, value: str | None) -> str | None:
    """The address that `value` shows, where it was served with a credential in it: parameters stand in the Prefect server."""
    served: str | None = json.loads(os.environ.get(SERVED, "{}")).get(name)
    return served if served and value == storage.without_credentials(served) else value


def allow(parameters: Mapping[str, str | None]) -> None:
    """Let the runs that this process starts use these parameters too."""
    places = {name: storage.resolve(path_of(name, value)) for name, value in parameters.items() if value}
    os.environ[SERVED] = json.dumps(places)
