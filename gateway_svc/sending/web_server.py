"""The web server of a destination, as a client for it."""

from __future__ import annotations

import ssl

import httpx

from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.settings.security_files import read_secret


def web_client(destination: Destination, settings: Settings) -> httpx.AsyncClient:
    """A client with the base URL; it trusts the `ca_file` of the settings, or what the machine trusts.

    Raises
    ------
    SettingsInvalid
        If the token file cannot be read, or others can read it.
    """
    headers = {}
    if destination.token_file is not None:
        token = read_secret(destination.token_file, f"token_file = {destination.token_file}")
        headers["Authorization"] = f"Bearer {token}"
    return httpx.AsyncClient(
        base_url=destination.url.rstrip("/") + "/",
        headers=headers,
        verify=ssl.create_default_context(cafile=destination.ca_file or settings.security.ca_file),
        timeout=httpx.Timeout(60.0, connect=10.0),
        trust_env=False,
    )
