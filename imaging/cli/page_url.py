"""The address of the web page, as a browser on this machine takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imaging.settings import Settings

_EVERYWHERE = ("0.0.0.0", "[::]")


def page_url(settings: Settings, address: str = "") -> str:
    """`http://host:port/`; what listens everywhere is told as localhost.

    Parameters
    ----------
    address
        `host:port` of the HTTP door, where it is not that of the settings.
    """
    host, _, port = (address or settings.gateway.http_address).rpartition(":")
    scheme = "http" if settings.security.certificate_file is None else "https"
    return f"{scheme}://{'localhost' if host in _EVERYWHERE else host}:{port}/"
