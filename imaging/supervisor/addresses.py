"""Where each service listens: from the settings, from a base port on, or on free ports."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from imaging.errors import InvalidArgument, Unavailable
from imaging.settings import SERVICE_NAMES, ServiceName, Settings

LOOPBACK = "127.0.0.1"

_NAMES: tuple[ServiceName, ...] = SERVICE_NAMES


def service_addresses(settings: Settings, port_base: int | None) -> dict[ServiceName, str]:
    """`host:port` of each service.

    Parameters
    ----------
    port_base
        The first of five ports in a row, in the order of `SERVICE_NAMES`; 0: any free ports; None: as the settings say.

    Raises
    ------
    InvalidArgument
        If the ports would go over 65535.
    """
    if port_base is None:
        return {name: settings.address(name) for name in _NAMES}
    if port_base == 0:
        ports = _free_ports(len(_NAMES))
        return {name: f"{LOOPBACK}:{port}" for name, port in zip(_NAMES, ports, strict=True)}
    if not 1 <= port_base <= 65535 - len(_NAMES) + 1:
        raise InvalidArgument(
            f"The ports {port_base} to {port_base + len(_NAMES) - 1} do not exist",
            where="--port-base",
            hint="Choose 1024 to 65531, or 0 for free ports.",
        )
    ports = list(range(port_base, port_base + len(_NAMES)))
    return {name: f"{LOOPBACK}:{port}" for name, port in zip(_NAMES, ports, strict=True)}


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
