"""Names and addresses of machines."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a name or an address is that of this machine, which no other machine reaches.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "192.168.0.1", "host.org")]
        [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
