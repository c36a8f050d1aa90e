"""Settings of Prefect that Prefect does not take, in one line instead of the stack with which its import ends.

In: the environment and profiles of Prefect. Out: nothing, or the end of the process with exit code 2. Grain: one process.
"""

import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from urllib.parse import urlsplit

from pydantic import ValidationError


def check() -> None:
    """Import Prefect's settings, and pass on what it says of them; ends the process where it does not take one."""
    try:
        urlsplit(os.environ.get("PREFECT_API_URL", ""))
    except ValueError:  # with which Prefect cannot be imported
        sys.stderr.write("error: PREFECT_API_URL: is no address of a server; mend it, or unset it\n")
        raise SystemExit(2) from None
    try:
        # It says something of its own, of several lines, before it fails.
        with redirect_stderr(StringIO()) as told:
            from prefect.settings import get_current_settings  # noqa: PLC0415 (reads them, and may raise)

            get_current_settings()
    except ValidationError as error:
        (first, *_) = error.errors()
        key = str(first["loc"][0]) if first["loc"] else ""
        named = [name for name in os.environ if name.startswith("PREFECT_") and name.endswith(f"_{key.upper()}")]
        setting = ", ".join(sorted(named)) or f"{key} in a profile of Prefect"
        sys.stderr.write(f"error: {setting}: Prefect does not take it: {first['msg']}; mend it, or unset it\n")
        raise SystemExit(2) from None
    sys.stderr.write(told.getvalue())
