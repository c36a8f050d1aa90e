"""Free ports on 127.0.0.1 for servers that tests start.

They lie below those that Linux gives to connecting clients (from 32,768 on): a client that asks too early for one of
those can be given the very port it asks for, and then it talks with itself.
"""

import os
import socket
from itertools import count, islice

UNTRIED = count(20_000 + os.getpid() % 200 * 12)
"""From a place that differs between test runs; none is chosen twice, since its listener may not be there yet."""


def free(port: int) -> bool:
    """Whether nobody listens on `port` and on the one that SeaweedFS derives from it."""
    for number in (port, port + 10_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True


def choose_ports(number: int) -> list[int]:
    """So many free ports, one for each listener."""
    return list(islice(filter(free, UNTRIED), number))
