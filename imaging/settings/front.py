"""The settings of the one port in front of all services."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from imaging.settings.section import Address, Section


class FrontSettings(Section):
    """One port for gRPC, gRPC-Web, DICOMweb and the web page: a Traefik that passes on to the services."""

    address: Address | Literal[""] = "127.0.0.1:50059"
    """`host:port` to listen on, where the program `traefik` is installed (extra `[front]`). Empty: nowhere."""

    certificate_file: Path | None = None
    """PEM chain, where it is not that of the services: with it TLS ends here, and behind it on loopback none is
    needed."""

    key_file: Path | None = None
    """PEM key of it; readable by its owner alone."""

    requests_per_second: int = Field(2000, ge=0)
    """Requests that one caller (by IP address) may make on average, twice as many in a burst; over that 429, which gRPC
    tells as UNAVAILABLE. A stream counts once. A viewer that asks for frames one by one makes some hundred. 0: any."""
