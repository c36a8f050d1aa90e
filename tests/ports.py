"""Free ports on 127.0.0.1 for servers that tests start.

They lie below those that Linux gives to connecting clients (from 32,768 on): a client that asks too early for one of
those can be given the very port it asks for, and then it talks with itself.
"""

import socket
from contextlib import suppress
from itertools import islice

UNTRIED = iter(range(20_000, 22_500))
DERIVED = 10_000
"""What SeaweedFS adds to a port for another one of its own."""
CLAIM = 5_000
CLAIMS: list[socket.socket] = []
"""Held until this process ends, one for each port that it chose, whose listener may not be there yet."""


def free(port: int) -> bool:
    """Whether nobody listens on `port` and on the one that is derived from it."""
    for number in (port, port + DERIVED):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True


def claimed(port: int) -> bool:
    """Whether the port is now this process's: another one that runs tests beside it does not choose it."""
    claim = socket.socket()
    with suppress(OSError):
        claim.bind(("127.0.0.1", port + CLAIM))
        CLAIMS.append(claim)
        return True
    claim.close()
    return False


def choose_ports(number: int) -> list[int]:
    """So many free ports, one for each listener."""
    return list(islice((port for port in UNTRIED if claimed(port) and free(port)), number))
