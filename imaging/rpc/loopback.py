"""Which addresses never leave this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(address: str) -> bool:
    """True if `host:port` names this machine alone: `localhost`, 127.0.0.0/8 or ::1."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
