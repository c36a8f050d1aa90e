"""Take credentials from a Prefect block, so that no file and no log has to hold them.

In: the name of a `Secret` block whose value is a JSON object of environment variables, for instance
`{"AWS_ACCESS_KEY_ID": "...", "AWS_SECRET_ACCESS_KEY": "...", "AWS_ENDPOINT_URL": "..."}`. Out: this process's
environment, which the clusters that it starts inherit.
"""

import os
from typing import Any

from prefect.blocks.system import Secret

from tasks.config import Config
from tasks.errors import ConfigError


def load_credentials(config: Config) -> None:
    """Set what the configured block holds, if one is configured.

    Raises:
        ConfigError: there is no such block, or its value is no object of texts, or one of them cannot stand in the environment.
    """
    if config.credentials_block is None:
        return
    name = config.credentials_block
    try:
        block: Any = Secret.load(name)  # typed for asynchronous callers too
        held = block.get()
    except ValueError:
        raise ConfigError(
            f"credentials_block {name}: no Secret block of this name on the Prefect server; create it there"
        ) from None
    if not isinstance(held, dict) or not all(isinstance(value, str) for value in held.values()):
        raise ConfigError(
            f"credentials_block {name}: holds no JSON object of texts; give names and values of variables"
        )
    try:
        os.environ.update(held)
    except (ValueError, OSError):
        raise ConfigError(
            f"credentials_block {name}: holds a name or a value that no variable can have; mend it on the Prefect server"
        ) from None
