"""`host:port`: its parts, and which of them never leave this machine."""

from __future__ import annotations

import ipaddress


def split_address(address: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets) and port; a port that is no number is 0."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def is_loopback(address: str) -> bool:
    """True if `host:port`, or each of several, names this machine alone: `localhost`, 127.0.0.0/8 or ::1."""
    if "," in address:
        return all(is_loopback(each) for each in address.split(","))
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
