"""The replicas of a service one by one, for work that belongs to the one that was asked for it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from dataclasses import replace
from typing import Final

import grpc

from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.rpc.loopback import split_address

CONNECT_TIMEOUT_MS: Final = 5000
"""A replica whose machine is gone does not even refuse; another is asked then."""


class Replicas:
    """What an address stands for: the addresses in it, or all that its name has now.

    A channel of `open_channel` goes round them; here the caller knows which one it talks to, and can come back to it.

    Parameters
    ----------
    address
        `host:port`, or several with commas between.
    settings
        How they are reached. The name in their certificates is that of `address`.
    """

    def __init__(self, address: str, settings: ChannelSettings | None = None) -> None:
        self._address = address
        settings = settings or ChannelSettings()
        host = split_address(address)[0] if "," not in address else ""
        self._settings = replace(settings, server_name=settings.server_name or host)
        self._turns = itertools.count()

    async def choose(self, other_than: str = "") -> str:
        """`host:port` of one of them, in turn; another one than that, if there is one."""
        found = await self._addresses()
        others = [address for address in found if address != other_than] or found
        return others[next(self._turns) % len(others)]

    def open(self, replica: str) -> grpc.aio.Channel:
        """A channel to one that was chosen, now or long ago. Its caller closes it."""
        return open_channel(replica, self._settings, options=[("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS)])

    async def _addresses(self) -> list[str]:
        if "," in self._address:
            return self._address.split(",")
        host, port = split_address(self._address)
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return [self._address]  # the call will tell that the name is not known
        hosts = sorted({str(info[4][0]) for info in infos})
        return [f"[{found}]:{port}" if ":" in found else f"{found}:{port}" for found in hosts]
