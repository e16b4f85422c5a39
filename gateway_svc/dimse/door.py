"""The door: which connections become associations, how many there may be, and how long one may do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from gateway_svc.dimse.associate_pdu import (
    AssociateRequest,
)
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.callers import Callers, Refused
from gateway_svc.dimse.connection import Caller, Connection, DoorLimits
from gateway_svc.dimse.negotiation import Negotiated, negotiate
from gateway_svc.dimse.pdu import (
    LOCAL_LIMIT_EXCEEDED,
)
from gateway_svc.dimse.pdu_stream import PduStream, ReceiveBuffer
from gateway_svc.dimse.sop_classes import SopClasses

MOST_UNASSOCIATED: Final = 512
"""Connections that have not asked for an association yet; the oldest one gives way to a further one."""

GIVES_WAY_AFTER_SECONDS: Final = 5.0
"""When there are as many associations as there may be, the one that is idle for longest, and at least for so long, is
aborted for a new one: what is idle must not keep a sender out."""

_TICK_SECONDS = 1.0
_LAST_SECONDS = 1.0


Serve = Callable[[Association, Caller], Awaitable[None]]
"""Serves an association until the peer releases it; raises `AssociationLost` if it ends otherwise."""

OnRefused = Callable[[AssociateRequest, str, str], None]
"""Is told of a request that was refused, the host that it came from, and why."""


class Door:
    """All connections of one acceptor process.

    Parameters
    ----------
    serve
        Called for each association.
    on_refused
        Called for each request that is rejected for who asks.
    """

    def __init__(
        self,
        *,
        callers: Callers,
        sop_classes: SopClasses,
        serve: Serve,
        on_refused: OnRefused,
        limits: DoorLimits | None = None,
    ) -> None:
        self._callers = callers
        self._sop_classes = sop_classes
        self._serve = serve
        self._on_refused = on_refused
        self._limits = limits or DoorLimits()
        self._buffer = ReceiveBuffer()
        self._connections: dict[PduStream, Connection] = {}

    def connection(self, *, is_open: bool) -> PduStream:
        """A protocol for the event loop, for one connection.

        Parameters
        ----------
        is_open
            It may become an association of a caller that nobody knows.
        """
        waiting = [one for one in self._connections.values() if one.serving is None and one.ending_since is None]
        if len(waiting) >= MOST_UNASSOCIATED:
            waiting[0].stream.drop()  # the oldest: a dict keeps the order
        connection = Connection(self, is_open=is_open)
        stream = PduStream(self._buffer, connection)
        connection.begin(stream)
        self._connections[stream] = connection
        return stream

    @property
    def association_count(self) -> int:
        """Associations that are served now."""
        return sum(1 for one in self._connections.values() if one.is_served)

    @property
    def connection_count(self) -> int:
        """All connections, whatever becomes of them."""
        return len(self._connections)

    async def watch(self) -> None:
        """Close what does nothing for too long; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in list(self._connections.values()):
                connection.look(now, self._limits)

    async def drain(self, grace: timedelta) -> None:
        """Let associations come to their end within `grace`, idle ones at once; then end what is left."""
        ends = asyncio.get_running_loop().time() + grace.total_seconds()
        while self.association_count and asyncio.get_running_loop().time() < ends:
            for connection in list(self._connections.values()):
                connection.end_if_idle(after_seconds=1.0)
            await asyncio.sleep(0.1)
        tasks = [one.serving for one in self._connections.values() if one.serving is not None]
        for connection in list(self._connections.values()):
            connection.end("the service is stopping")
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_SECONDS)
        for connection in list(self._connections.values()):
            connection.stream.drop()

    # What connections ask.

    def forget(self, stream: PduStream) -> None:
        """The connection is gone."""
        self._connections.pop(stream, None)

    def make_room(self) -> bool:
        """True if there may be one association more, if need be after ending the one that was idle for longest."""
        served = [one for one in self._connections.values() if one.is_served]
        if len(served) <= self._limits.max_associations:
            return True
        now = asyncio.get_running_loop().time()
        idle = [one for one in served if one.idle_seconds(now) >= GIVES_WAY_AFTER_SECONDS]
        if not idle:
            return False
        max(idle, key=lambda one: one.idle_seconds(now)).end("it was idle and gave way to another")
        return True

    async def admit(self, request: AssociateRequest, stream: PduStream, *, is_open: bool) -> Negotiated:
        """What the request gets.

        Raises
        ------
        Refused
            If it gets nothing.
        """
        host = stream.peer_host
        try:
            permitted = await self._callers.admit(request, host, is_encrypted=stream.is_encrypted, is_open=is_open)
        except Refused as refused:
            self._on_refused(request, host, str(refused))
            raise
        if not self.make_room():
            raise Refused(LOCAL_LIMIT_EXCEEDED, "there are as many associations as there may be")
        return negotiate(request, permitted, self._sop_classes)

    async def serve(self, association: Association, caller: Caller) -> None:
        """Serve it to its end."""
        await self._serve(association, caller)
