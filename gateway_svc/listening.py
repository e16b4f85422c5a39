"""A listening socket of our own, so that a port that is taken is told before anything is served."""

from __future__ import annotations

import socket
from typing import Final

from imaging.errors import Unavailable
from imaging.rpc.loopback import split_address

BACKLOG: Final = 2048
"""Connections that wait to be accepted."""


def listening_socket(address: str) -> socket.socket:
    """A socket that listens at `host:port`; port 0 takes a free one.

    Raises
    ------
    Unavailable
        The address cannot be bound.
    """
    host, port = split_address(address)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        raise Unavailable(
            "The address cannot be listened on",
            where=address,
            hint="Another process holds the port, or the host is not of this machine; choose another --port-base.",
        ) from error
    bound.setblocking(False)
    return bound
