"""No more calls at a time than a server can serve well; health checks always pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imaging.errors import Overloaded
from imaging.rpc.around import Around, Call
from imaging.rpc.credentials import HEALTH_SERVICE

RETRY_AFTER_SECONDS = 2.0


def admission(limit: int) -> Around:
    """Shed a call at once, with the time after which to come again, while `limit` others are being served."""
    served = 0

    @asynccontextmanager
    async def admit(call: Call) -> AsyncIterator[None]:
        nonlocal served
        if call.service == HEALTH_SERVICE:
            yield
            return
        if served >= limit:
            raise Overloaded(
                f"The server serves {limit} calls already",
                where=call.name,
                hint="Try again later, and end watches and streams that are not used.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        served += 1
        try:
            yield
        finally:
            served -= 1

    return admit
