"""Bytes of a connection to PDUs and fragments: no length is believed before it was checked, no byte is copied twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from gateway_svc.dimse.pdu import (
    HEADER,
    MAX_LENGTHS,
    PDV_HEADER,
    AbortReason,
    InvalidPdu,
    PduType,
)

RECEIVE_BYTES: Final = 256 * 1024
"""The most that is taken from a connection at once."""

Bytes = bytes | memoryview


class PduHandler(Protocol):
    """What a connection is at the moment: a handshake, an association, or one that is being closed."""

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """A whole PDU of any type but P-DATA-TF."""

    def fragment_received(self, context_id: int, control: int, content: bytes, *, ends: bool) -> None:
        """Bytes of a presentation data value as they came; `ends` with its last ones."""

    def pdu_refused(self, error: InvalidPdu) -> None:
        """The peer does not keep to PS3.8: nothing more is read."""

    def connection_lost(self) -> None:
        """The connection is gone."""


class ReceiveBuffer:
    """Memory that all connections of an event loop receive into, one after the other: idle ones need none."""

    def __init__(self, size: int = RECEIVE_BYTES) -> None:
        self.view = memoryview(bytearray(size))


class PduStream(asyncio.BufferedProtocol):
    """One connection. A handler may raise `InvalidPdu` from what it is told."""

    def __init__(self, buffer: ReceiveBuffer, handler: PduHandler) -> None:
        self.handler = handler
        self.received_bytes = 0
        self.pdu_since: float | None = None
        """When the PDU that is incomplete now has begun; None between PDUs."""
        self.last_received = 0.0
        self.is_paused = False
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._socket: Any = None
        self._loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = self._loop.create_future()
        self._is_refused = False
        self._kind: PduType | None = None
        self._left = 0
        self._held = bytearray()
        self._context_id = 0
        self._control = 0
        self._fragment_left = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._socket = transport.get_extra_info("socket")
        self.last_received = self._loop.time()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive into. It is read out before the event loop turns to another connection."""
        return self._buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        self.last_received = self._loop.time()
        self.received_bytes += nbytes
        if self._is_refused:
            return
        try:
            self._take(self._buffer.view[:nbytes])
        except InvalidPdu as error:
            self._is_refused = True
            self.handler.pdu_refused(error)
        else:
            self._acknowledge()

    def eof_received(self) -> bool:
        """The peer sends nothing more: neither do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, and wake who waits to write."""
        self._transport = None
        self._writable.set()
        if not self._closed.done():
            self._closed.set_result(None)
        self.handler.connection_lost()

    def pause_writing(self) -> None:
        """The peer is slower than we are."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    # What handlers call.

    @property
    def is_connected(self) -> bool:
        """False once the connection is gone or being closed."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def peer_host(self) -> str:
        """Address of the peer; empty if it is gone already."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else ""

    @property
    def is_encrypted(self) -> bool:
        """True for TLS."""
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    def write(self, parts: Sequence[Bytes]) -> None:
        """Send; what the peer does not take yet is held, see `drained`."""
        if self._transport is not None:
            self._transport.writelines(parts)

    @property
    def is_writable(self) -> bool:
        """False while the peer is slower than what is written."""
        return self._writable.is_set()

    async def drained(self) -> None:
        """Wait until the peer has taken enough of what was written."""
        if not self._writable.is_set():
            await self._writable.wait()

    def pause(self) -> None:
        """Read nothing more, so that the peer slows down."""
        if self._transport is not None:
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def ignore(self) -> None:
        """Read on only to see the peer close the connection."""
        self._is_refused = True
        self.resume()

    def close(self) -> None:
        """Send what was written, then close."""
        self._is_refused = True
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close at once, and forget what was not sent."""
        self._is_refused = True
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._closed)

    # How bytes become PDUs.

    def _take(self, view: memoryview) -> None:
        position, end = 0, len(view)
        while position < end:
            if self._fragment_left:
                position = self._take_fragment(view, position, end)
            elif self._kind is None:
                position = self._take_header(view, position, end)
            elif self._kind is PduType.P_DATA_TF:
                position = self._take_pdv_header(view, position, end)
            else:
                position = self._take_body(view, position, end)
            if self._is_refused:  # closed by what the handler was told
                return

    def _take_header(self, view: memoryview, position: int, end: int) -> int:
        if not self._held:
            self.pdu_since = self.last_received
        header, position = self._gather(view, position, end, HEADER.size)
        if header is None:
            if self._held[0] not in MAX_LENGTHS:  # refused at its first byte: it may never send six
                raise InvalidPdu("this is no DICOM upper layer", AbortReason.UNRECOGNIZED_PDU)
            return position
        kind, length = HEADER.unpack(header)
        limit = MAX_LENGTHS.get(kind)
        if limit is None:
            raise InvalidPdu("this is no DICOM upper layer", AbortReason.UNRECOGNIZED_PDU)
        if length > limit:
            raise InvalidPdu(f"a PDU of type {kind} declares {length} bytes, more than {limit}")
        self._kind, self._left = PduType(kind), length
        if length == 0:
            self._end_pdu(b"")
        return position

    def _take_pdv_header(self, view: memoryview, position: int, end: int) -> int:
        header, position = self._gather(view, position, end, PDV_HEADER.size)
        if header is None:
            return position
        length, self._context_id, self._control = PDV_HEADER.unpack(header)
        if length < 2 or length + 4 > self._left:
            raise InvalidPdu("a presentation data value is longer than its PDU")
        self._left -= PDV_HEADER.size
        self._fragment_left = length - 2
        if not self._fragment_left:
            self._fragment(b"")
        return position

    def _take_fragment(self, view: memoryview, position: int, end: int) -> int:
        stop = min(end, position + self._fragment_left)
        content = bytes(view[position:stop])
        self._fragment_left -= stop - position
        self._left -= stop - position
        self._fragment(content)
        return stop

    def _fragment(self, content: bytes) -> None:
        ends = not self._fragment_left
        if ends and not self._left:
            self._kind, self.pdu_since = None, None
        self.handler.fragment_received(self._context_id, self._control, content, ends=ends)

    def _take_body(self, view: memoryview, position: int, end: int) -> int:
        body, position = self._gather(view, position, end, self._left)
        if body is not None:
            self._end_pdu(bytes(body))
        return position

    def _end_pdu(self, body: bytes) -> None:
        kind, self._kind, self._left, self.pdu_since = self._kind, None, 0, None
        if kind is not None and kind is not PduType.P_DATA_TF:
            self.handler.pdu_received(kind, body)

    def _gather(self, view: memoryview, position: int, end: int, size: int) -> tuple[Bytes | None, int]:
        """So many bytes in one piece, or None while they have not all come; and the position after what was taken."""
        if not self._held and end - position >= size:
            return view[position : position + size], position + size
        stop = min(end, position + size - len(self._held))
        self._held += view[position:stop]
        if len(self._held) < size:
            return None, stop
        gathered = bytes(self._held)
        self._held.clear()
        return gathered, stop

    def _acknowledge(self) -> None:
        # Many senders leave Nagle's algorithm on: the last short segment of a message then waits for our
        # acknowledgement, which Linux delays by 40 ms unless it is told not to, each time anew.
        if self._socket is not None and self._transport is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
