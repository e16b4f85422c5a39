"""Where each service listens: from the settings, from a base port on, or on free ports."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from imaging.errors import InvalidArgument, Unavailable
from imaging.settings import DOOR_NAMES, SERVICE_NAMES, DoorName, ServiceName, Settings

LOOPBACK = "127.0.0.1"

FRONT: Final = "front"
"""Name of the one port before all services."""

_SERVICES: tuple[ServiceName, ...] = SERVICE_NAMES
_DOORS: tuple[DoorName, ...] = DOOR_NAMES


def service_addresses(settings: Settings, port_base: int | None, *, front: bool = False) -> dict[str, str]:
    """`host:port` of each service, then of each door of the gateway, then of the one port before them all.

    Parameters
    ----------
    port_base
        The first of the ports in a row, in the order of `SERVICE_NAMES` and `DOOR_NAMES`; 0: any free ports; None: as
        the settings say.
    front
        Whether there is a program for the one port.

    Raises
    ------
    InvalidArgument
        If the ports would go over 65535.
    """
    if port_base is None:
        services = {str(name): settings.address(name) for name in _SERVICES}
        doors = {str(name): settings.door(name) for name in _DOORS}
        return services | doors | ({FRONT: settings.front.address} if front else {})
    names = (*_SERVICES, *_DOORS, *((FRONT,) if front else ()))
    if port_base == 0:
        ports = _free_ports(len(names))
    elif 1 <= port_base <= 65535 - len(names) + 1:
        ports = list(range(port_base, port_base + len(names)))
    else:
        raise InvalidArgument(
            f"The ports {port_base} to {port_base + len(names) - 1} do not exist",
            where="--port-base",
            hint=f"Choose 1024 to {65535 - len(names) + 1}, or 0 for free ports.",
        )
    return {name: f"{LOOPBACK}:{port}" for name, port in zip(names, ports, strict=True)}


def with_addresses(settings: Settings, addresses: Mapping[str, str]) -> Settings:
    """The settings with the addresses of services and doors replaced."""
    updates: dict[str, dict[str, str]] = {name: {"address": addresses[name]} for name in _SERVICES}
    for door in _DOORS:
        updates["gateway"][f"{door}_address"] = addresses[door]
    updates[FRONT] = {"address": addresses.get(FRONT, "")}
    sections = {name: getattr(settings, name).model_copy(update=update) for name, update in updates.items()}
    return settings.model_copy(update=sections)


def check_free(addresses: Mapping[str, str]) -> None:
    """Pass if every address can be listened on now.

    Raises
    ------
    Unavailable
        Naming the first that is taken or is not of this machine.
    """
    for name, address in addresses.items():
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Without it a port in TIME_WAIT, which gRPC can listen on, would be told as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except (OSError, ValueError, OverflowError) as error:
                taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
                raise Unavailable(
                    f"The address of {name} is taken by another process" if taken else f"{name} cannot listen there",
                    where=address,
                    hint="Stop the other process, or choose other ports with --port-base N (0: free ports).",
                ) from None


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        # All are held until the last is chosen, so that no port comes twice.
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
