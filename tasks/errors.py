"""What can go wrong at a boundary, named by the boundary.

    SafePairsError
    ├── ConfigError      the TOML file or a command-line value
    ├── SourceError      the prompts file
    ├── ModelError       a model folder, or an engine that could not go on
    ├── StorageError     the storage folder or bucket
    ├── ReviewError      Label Studio, or an export of it
    ├── BudgetSpent      the run's budget of tokens or GPU hours
    ├── GateRefused      the release gate
    └── NotApproved      the person who must approve a release

Each message says what, where and what to do, in one line. Anything else that is raised is a bug and keeps its trace.
"""

from infra.storage import without_credentials
from infra.text import plain


class SafePairsError(Exception):
    """A fault that the user can mend: one clean line, whatever it quotes, without credentials in its addresses."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(one_line(without_credentials(message)))


class ConfigError(SafePairsError):
    """The configuration asks for something impossible."""


class SourceError(SafePairsError):
    """The prompts file cannot be used."""


class ModelError(SafePairsError):
    """A model cannot be loaded or stopped answering."""


class StorageError(SafePairsError):
    """The storage cannot be read or written."""


class ReviewError(SafePairsError):
    """Label Studio or an export of it cannot be used."""


class BudgetSpent(SafePairsError):
    """The run has asked for as much as its budget allows; what is answered is kept."""

    exit_code = 4


class GateRefused(SafePairsError):
    """The gate found a violated or a crashed rule; nothing was published."""

    exit_code = 3


class NotApproved(SafePairsError):
    """Nobody approved the release, or somebody rejected it; nothing was published."""

    exit_code = 3


def one_line(text: str) -> str:
    """Text without what ends a line, moves a cursor or turns the direction of writing."""
    return " ".join(plain(text).split())
