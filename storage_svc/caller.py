"""Who calls, for the audit."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import grpc

from storage_svc.audit import Asked, checked_reason


def asked_by(context: grpc.aio.ServicerContext[Any, Any], reason: str = "") -> Asked:
    """The address of the caller without its port, and the reason that it gives.

    Raises
    ------
    InvalidArgument
        If the reason is too long.
    """
    kind, _, place = unquote(context.peer()).partition(":")
    address = place.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind
    return Asked(address, checked_reason(reason))
