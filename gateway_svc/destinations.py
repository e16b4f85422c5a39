"""The destinations that the settings name."""

from __future__ import annotations

from collections.abc import Mapping

from imaging.errors import NotFound
from imaging.gateway.v1 import gateway_pb2
from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.settings.security_files import check_trusted_certificates, read_secret


def destination_of(name: str, destinations: Mapping[str, Destination]) -> Destination:
    """The destination `destinations/{id}`.

    Raises
    ------
    NotFound
        If the settings name none of that name.
    """
    found = destinations.get(name.removeprefix("destinations/")) if name.startswith("destinations/") else None
    if found is None:
        known = ", ".join(f"destinations/{key}" for key in sorted(destinations)) or "none; see gateway.destinations"
        raise NotFound("There is no such destination", where=name[:100], hint=f"Known: {known}.")
    return found


def check_destinations(settings: Settings) -> None:
    """Pass if the files that destinations name can be used: told when the gateway starts, not when somebody sends.

    Raises
    ------
    SettingsInvalid
        If one is missing or no good.
    """
    for key, found in settings.gateway.destinations.items():
        if found.ca_file is not None:
            check_trusted_certificates(found.ca_file, f"gateway.destinations.{key}.ca_file")
        if found.token_file is not None:
            read_secret(found.token_file, f"gateway.destinations.{key}.token_file = {found.token_file}")


def destination_messages(destinations: Mapping[str, Destination]) -> list[gateway_pb2.Destination]:
    """The destinations as the contract tells them, sorted by name; without secrets."""
    return [
        gateway_pb2.Destination(
            name=f"destinations/{key}",
            kind=gateway_pb2.Destination.KIND_STOW_RS if found.url else gateway_pb2.Destination.KIND_DIMSE,
            description=found.description,
            ae_title=found.ae_title,
            address=found.address,
            url=found.url,
            tls=found.tls or found.url.startswith("https:"),
        )
        for key, found in sorted(destinations.items())
    ]
