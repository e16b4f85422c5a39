"""Where the services are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from imaging.errors import InvalidArgument
from imaging.settings import DOOR_NAMES, SERVICE_NAMES, ServiceName, Settings

Endpoints = dict[ServiceName, str]


def resolve_endpoints(given: str | Mapping[str, str] | None, settings: Settings) -> Endpoints:
    """`host:port` of each service.

    Parameters
    ----------
    given
        The address of storage, the others being on the next ports, as `imaging up --port-base` lays them out; or the
        addresses by service, as `imaging up --json` tells them, several of replicas with commas between; or None: the
        addresses that the settings name, or else those of the `imaging up` that works on the settings' data folder, or
        else the default ports.

    Raises
    ------
    InvalidArgument
        If an address is malformed or a service is unknown.
    """
    if given is None:
        named = {name: settings.address(name) for name in _names()}
        defaults = Settings()
        if all(named[name] == defaults.address(name) for name in _names()):
            return _of_data_dir(settings.data_dir) or named
        return named
    if isinstance(given, str):
        host, port = _split(given)
        ports = range(port, port + len(SERVICE_NAMES))
        return {name: f"{host}:{number}" for name, number in zip(_names(), ports, strict=True)}
    unknown = sorted(set(given) - set(SERVICE_NAMES) - set(DOOR_NAMES) - {"front"})
    if unknown:
        raise InvalidArgument(
            f"There is no service `{unknown[0]}`", where="endpoints", hint=f"Known: {', '.join(SERVICE_NAMES)}."
        )
    for address in given.values():
        for each in address.split(","):
            _split(each)
    return {name: given.get(name, settings.address(name)) for name in _names()}


def _names() -> tuple[ServiceName, ...]:
    return SERVICE_NAMES


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise InvalidArgument(
            f"`{address[:100]}` is not an address",
            where="endpoint",
            hint="Write it as host:port, e.g. 127.0.0.1:50051.",
        )
    return host, int(port)


def _of_data_dir(data_dir: Path) -> Endpoints | None:
    """What `imaging up` wrote into the data folder; None without, or when it cannot be read."""
    try:
        found = json.loads((data_dir / "endpoints.json").read_text())["endpoints"]
        return {name: str(found[name]) for name in _names()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
