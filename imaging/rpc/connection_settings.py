"""How a server listens, and how a client reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where and how a server listens. `imaging.settings` refuses what is unsafe before this is made."""

    address: str = "127.0.0.1:0"
    """`host:port`; port 0 takes a free one."""

    certificate_file: Path | None = None
    """PEM chain; TLS is used when it and `key_file` are given."""

    key_file: Path | None = None
    """PEM key."""

    token: str = ""
    """Bearer token that every call must carry; empty: none is asked for."""

    health_address: str = ""
    """`host:port` where health alone is served in plain text, for probes that speak no TLS; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a client reaches a service."""

    ca_file: Path | None = None
    """PEM certificates to trust; TLS is used when it is given."""

    token: str = ""
    """Bearer token; sent only over TLS or to loopback."""

    server_name: str = ""
    """The name in the certificates of the servers, where it is not the host of the address; empty: that host."""

    token_in_plain_text: bool = False
    """Send the token anywhere: something between does TLS (`security.insecure`)."""
