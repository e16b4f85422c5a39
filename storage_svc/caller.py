"""Who calls, for the audit."""

from __future__ import annotations

from typing import Any

import grpc

from imaging.rpc.caller_address import caller_address
from storage_svc.lifecycle.audit import Asked, checked_reason


def asked_by(context: grpc.aio.ServicerContext[Any, Any], reason: str = "") -> Asked:
    """The address of the caller without its port, and the reason that it gives.

    Raises
    ------
    InvalidArgument
        If the reason is too long.
    """
    return Asked(caller_address(context), checked_reason(reason))
