"""The address of the web page, as a browser on this machine takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imaging.settings import Settings

_EVERYWHERE = ("0.0.0.0", "[::]")


def page_url(settings: Settings, endpoints: Mapping[str, str]) -> str:
    """`http://host:port/` of the one port, or else of the gateway; what listens everywhere is told as localhost.

    Parameters
    ----------
    endpoints
        `host:port` by service and door, as `imaging up` tells them.
    """
    address = endpoints.get("front", "")
    encrypted = settings.security.certificate_file or (address and settings.front.certificate_file)
    host, _, port = (address or endpoints["http"]).rpartition(":")
    scheme = "https" if encrypted else "http"
    return f"{scheme}://{'localhost' if host in _EVERYWHERE else host}:{port}/"
