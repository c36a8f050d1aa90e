"""The form of every part of the configuration.

In: the values of one TOML table. Out: a frozen section; unknown keys are refused.
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the file: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
