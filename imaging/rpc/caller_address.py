"""Where a call comes from, for an audit."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import grpc


def caller_address(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The address of the caller without its port; `unix` for a socket of this machine."""
    kind, _, place = unquote(context.peer()).partition(":")
    return place.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
