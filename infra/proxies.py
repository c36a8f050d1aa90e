"""Proxies of the environment: what they may never carry, and which of them cannot be used.

In: the variables of the environment (`HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` and their like). Out: `NO_PROXY` with this machine in it,
for this process and all that it starts: Prefect's and Ray's servers, endpoints and buckets on it.
"""

import os
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
PROXIES: tuple[str, ...] = ("http_proxy", "https_proxy", "all_proxy")
CERTIFICATES = ("ssl_cert_file", "ssl_cert_dir")
VARIABLES = ("no_proxy", "NO_PROXY")
"""Most programs read the first that is set, some know one of them alone: both say the same, and all that either said."""


def spare_this_machine() -> None:
    """Have no proxy asked for what runs on this machine."""
    named = [host.strip() for name in VARIABLES for host in os.environ.get(name, "").split(",")]
    if getproxies_environment().keys() - {"no"}:
        hosts = dict.fromkeys(host for host in [*named, *THIS_MACHINE] if host)
        value = "*" if "*" in hosts else ",".join(hosts)
        os.environ.update(dict.fromkeys(VARIABLES, value))


def environment_for(address: str) -> dict[str, str]:
    """The environment of a program that knows no `NO_PROXY` and asks the server at `address`: without proxies where it spares that."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # no address, as its reader will say
        host = ""
    spared = host and proxy_bypass(host)
    return {name: value for name, value in os.environ.items() if not spared or name.lower() not in PROXIES}


def fault() -> str | None:
    """What keeps the proxies and certificates of the environment from being used, if anything does."""
    import httpx  # noqa: PLC0415 (takes a while, and most who import this ask for nothing)

    known = PROXIES
    try:
        httpx.Client().close()
    except ImportError:
        what = "a SOCKS proxy needs the package socksio, which is not installed: `pip install socksio`, or unset the variable"
    except OSError as error:
        known, what = (
            CERTIFICATES,
            f"no certificates can be read there ({type(error).__name__}); mend it, or unset the variable",
        )
    except (ValueError, httpx.InvalidURL):
        known = (*PROXIES, "no_proxy")
        what = "no address of a proxy, or of what needs none, that can be used; mend it, as http://host:port, or unset the variable"
    else:
        return None
    names = [name for name, value in os.environ.items() if value and name.lower() in known]
    return f"{', '.join(sorted(names))}: {what}"
