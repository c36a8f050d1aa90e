"""A name and a home for a user who has none, as in a container under a number that no file there knows.

In: the environment and the system's users. Out: `LOGNAME` and `HOME`, for this process and all that it starts. Libraries ask for both as
they are imported (torch, Great Expectations, Prefect), and keep caches in the home: here it is one that ends with this process.
"""

import getpass
import os
from contextlib import suppress

from infra import leftovers


def have_name_and_home() -> None:
    """Set what is missing; nothing where there is no place for temporary files either, which a run finds out."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    home = os.path.expanduser("~")
    needed = os.X_OK | (os.W_OK if home == "/" else 0)  # one that can only be read still has models and keys
    if not os.path.isabs(home) or not os.path.isdir(home) or not os.access(home, needed):
        with suppress(OSError):
            made = leftovers.spill()
            os.mkdir(made)
            os.environ["HOME"] = made
