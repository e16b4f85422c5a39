"""One connection of an acceptor: a handshake, an association, and the end of both."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse.associate_pdu import (
    AssociateAccept,
    AssociateRequest,
    UserInformation,
    decode_request,
    encode_accept,
)
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.callers import Refused
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.pdu import (
    DEFAULT_MAX_LENGTH,
    AbortReason,
    InvalidPdu,
    PduType,
    abort_pdu,
)
from gateway_svc.dimse.pdu_stream import PduStream
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from gateway_svc.dimse.door import Door

SLOWEST_BYTES_PER_SECOND: Final = 1024
SLOW_AFTER_SECONDS: Final = 30.0
"""A message that comes in slower than this over so long is not waited for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """How many, and how long."""

    max_associations: int = 256
    artim_seconds: float = 10.0
    """For a request after the connection, and for the end after a release or an abort (PS3.8 9.1.4)."""
    idle_seconds: float = 300.0
    """For the next message of an association."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end."""

    ae_title: str
    """With anything but printable ASCII escaped."""
    host: str


class Connection:
    """One connection: a handshake, then an association, then a close that the peer is left some time for."""

    def __init__(self, door: Door, *, is_open: bool) -> None:
        self.serving: asyncio.Task[None] | None = None
        self.ending_since: float | None = None
        self._door = door
        self._is_open = is_open
        self._since = asyncio.get_running_loop().time()
        self._association: Association | None = None
        self._mark = (self._since, 0)

    def begin(self, stream: PduStream) -> None:
        """The connection's bytes come by this stream."""
        self.stream = stream

    # The handshake.

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """An association is asked for; anything else has no place here."""
        if kind is not PduType.ASSOCIATE_RQ or self.serving is not None:
            raise InvalidPdu(f"a PDU of type {int(kind)} before an association", AbortReason.UNEXPECTED_PDU)
        request = decode_request(body)
        self.stream.pause()
        self.serving = asyncio.create_task(self._run(request), name="association")

    def fragment_received(self, context_id: int, control: int, content: bytes, *, ends: bool) -> None:
        """Data before an association: has no place here."""
        raise InvalidPdu("data before an association", AbortReason.UNEXPECTED_PDU)

    def pdu_refused(self, error: InvalidPdu) -> None:
        """Abort: this is no DICOM, or not as it should be."""
        _log.info("a connection was refused", extra={"host": self.stream.peer_host, "why": str(error)})
        self.stream.write((abort_pdu(error.reason),))
        self._leave()
        self.stream.close()

    def connection_lost(self) -> None:
        """It was closed before it became an association."""
        if self.serving is None:
            self._door.forget(self.stream)

    async def _run(self, request: AssociateRequest) -> None:
        """From the request to the end of the connection."""
        try:
            association = await self._accept(request)
            if association is not None:
                await self._serve(association, Caller(request.calling_ae_title, self.stream.peer_host))
        except Exception:  # noqa: BLE001 - one association must not end the others
            _log.exception("unforeseen error in an association")
            self.end("the service met a defect")
        finally:
            self._association = None
            self._leave()
            await self.stream.wait_closed()
            self._door.forget(self.stream)

    async def _accept(self, request: AssociateRequest) -> Association | None:
        try:
            negotiated = await self._door.admit(request, self.stream, is_open=self._is_open)
            association = Association(self.stream, negotiated.contexts, request.user.max_length)
        except Refused as refused:
            why = {"host": self.stream.peer_host, "ae_title": request.calling_ae_title, "why": str(refused)}
            _log.warning("an association was rejected", extra=why)
            self.stream.write((refused.rejection.pdu(),))
            return None
        except InvalidPdu as error:
            self.pdu_refused(error)
            return None
        user = UserInformation(
            DEFAULT_MAX_LENGTH, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, negotiated.roles
        )
        accept = AssociateAccept(request.called_ae_title, request.calling_ae_title, negotiated.results, user)
        self._association = association
        self.stream.write((encode_accept(accept),))
        return association

    async def _serve(self, association: Association, caller: Caller) -> None:
        try:
            await self._door.serve(association, caller)
            association.confirm_release()
        except AssociationLost as lost:
            _log.info("an association was lost", extra={"ae_title": caller.ae_title, "why": str(lost)})

    # How it ends.

    @property
    def is_served(self) -> bool:
        """True while it is an association, or is about to become one."""
        return self.serving is not None and self.ending_since is None

    def idle_seconds(self, now: float) -> float:
        """For how long the peer has had nothing to say, and nothing is owed to it."""
        association = self._association
        is_idle = association is not None and association.is_idle and self.stream.pdu_since is None
        return now - self.stream.last_received if is_idle else 0.0

    def look(self, now: float, limits: DoorLimits) -> None:
        """End it if its time is over."""
        association = self._association
        if self.ending_since is not None:
            if now - self.ending_since > limits.artim_seconds:
                self.stream.drop()
        elif self.serving is None:
            if now - self._since > limits.artim_seconds:
                self.stream.drop()
        elif association is not None:
            if self.idle_seconds(now) > limits.idle_seconds:
                self.end("it was idle for too long")
            elif self._is_slow(now):
                self.end("the peer sends too slowly")

    def _is_slow(self, now: float) -> bool:
        stream, association = self.stream, self._association
        assert association is not None
        is_under_way = stream.pdu_since is not None or association.message_since is not None
        since, before = self._mark
        is_fast = stream.received_bytes - before >= SLOWEST_BYTES_PER_SECOND * (now - since)
        if not is_under_way or stream.is_paused or is_fast:
            self._mark = (now, stream.received_bytes)
            return False
        return now - since > SLOW_AFTER_SECONDS

    def end_if_idle(self, *, after_seconds: float) -> None:
        """End it if nothing was going on for so long."""
        if self.idle_seconds(asyncio.get_running_loop().time()) >= after_seconds:
            self.end("the service is stopping")

    def end(self, why: str) -> None:
        """End it at once, whatever it is."""
        if self._association is not None:
            self._association.abort(AbortReason.NOT_SPECIFIED, why=why)
        self._leave()
        self.stream.close()

    def _leave(self) -> None:
        """Nothing that comes matters any more; the peer has some time to close, which `look` gives it (PS3.8 9.2)."""
        if self.ending_since is None:
            self.ending_since = asyncio.get_running_loop().time()
        self.stream.ignore()
