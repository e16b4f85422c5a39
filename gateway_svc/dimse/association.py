"""An established association, in either role: messages in, messages out (PS3.7 6.3, PS3.8 Annex E)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway_svc.dimse.command import (
    MAX_COMMAND_BYTES,
    Command,
    CommandField,
    decode_command,
    encode_command,
)
from gateway_svc.dimse.data_set import AssociationLost, IncomingDataSet
from gateway_svc.dimse.pdu import (
    HEADER,
    IS_COMMAND,
    IS_LAST,
    PDV_HEADER,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    AbortReason,
    InvalidPdu,
    PduType,
    abort_pdu,
)
from gateway_svc.dimse.pdu_stream import PduStream

MOST_HELD_BYTES: Final = 256 * 1024
"""Of a data set that nobody has asked for yet."""

STALLED_SECONDS: Final = 60.0
"""A peer that takes nothing for so long is not waited for."""

_MOST_WAITING = 16
"""Messages that a peer may send ahead; nobody who keeps to the Standard sends more than one."""

_OWN_MAX_LENGTH = 256 * 1024
"""The longest P-DATA-TF that we send, whatever the peer would take."""

_SMALLEST_MAX_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    is_scu: bool
    """We may send requests in it."""
    is_scp: bool
    """We may be sent requests in it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A command, with the data set that follows it."""

    context: Context
    command: Command
    data: IncomingDataSet | None


class Association:
    """Reads and writes messages over a connection; one task at a time uses it.

    Parameters
    ----------
    contexts
        The accepted presentation contexts by id.
    peer_max_length
        The longest P-DATA-TF that the peer takes; 0: any.
    """

    def __init__(self, stream: PduStream, contexts: Mapping[int, Context], peer_max_length: int) -> None:
        if 0 < peer_max_length < _SMALLEST_MAX_LENGTH:
            raise InvalidPdu(f"a maximum length of {peer_max_length} bytes leaves no room for a message")
        self.contexts = contexts
        self.stream = stream
        self.cancelled: set[int | None] = set()
        """Message ids of requests that the peer has cancelled (C-CANCEL)."""
        self.message_since: float | None = None
        """When the message that is incomplete now has begun."""
        # Each fragment has an even number of bytes (PS3.8 E.1); many peers end an association over an odd one.
        self._fragment_bytes = (min(peer_max_length or _OWN_MAX_LENGTH, _OWN_MAX_LENGTH) - PDV_HEADER.size) & ~1
        self._command = bytearray()
        self._command_context = 0
        self._incoming: tuple[int, IncomingDataSet] | None = None
        self._waiting: deque[Message | None] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._lost: AssociationLost | None = None
        self._release_asked = False
        self._is_between = False
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        stream.handler = self
        stream.resume()

    # Messages.

    async def next_request(self) -> Message | None:
        """The next message, at a moment when nothing is under way; otherwise as `receive`."""
        self._is_between = True
        try:
            message = await self.receive()
        finally:
            self._is_between = False
        # Of what was asked before, nothing can be cancelled any more.
        open_ids = {each.command.message_id for each in (message, *self._waiting) if each is not None}
        self.cancelled &= open_ids
        return message

    @property
    def is_idle(self) -> bool:
        """True while nothing is under way: a request of the peer is waited for, and none has begun."""
        return self._is_between and self.message_since is None

    async def receive(self) -> Message | None:
        """The next message; None when the peer has released the association.

        Raises
        ------
        AssociationLost
            If it was aborted, or the connection is gone.
        """
        while not self._waiting:
            if self._lost is not None:
                raise self._lost
            self._arrived = self._loop.create_future()
            await self._arrived
        return self._waiting.popleft()

    async def send(self, context: Context, command: Command, data: bytes | AsyncIterable[bytes] | None = None) -> None:
        """Send a message; returns when the peer has taken nearly all of it.

        Raises
        ------
        AssociationLost
            If the association ended before.
        """
        if data is not None:
            command = command.with_data_set()
        await self._write(context, IS_COMMAND | IS_LAST, memoryview(encode_command(command)))
        if data is None:
            return
        if isinstance(data, bytes):
            await self._send_piece(context, memoryview(data), IS_LAST)
            return
        # The last fragment is marked as such, so each is held until another one is there.
        held = memoryview(b"")
        async for piece in data:
            if len(held) % 2:
                piece, held = b"".join((held[-1:], piece)), held[:-1]
            if held:
                await self._send_piece(context, held, 0)
            held = memoryview(piece)
        await self._send_piece(context, held, IS_LAST)

    async def _send_piece(self, context: Context, piece: memoryview, control: int) -> None:
        while len(piece) > self._fragment_bytes:
            await self._write(context, 0, piece[: self._fragment_bytes])
            piece = piece[self._fragment_bytes :]
        await self._write(context, control, piece)

    async def _write(self, context: Context, control: int, content: memoryview) -> None:
        if self._lost is not None:
            raise self._lost
        size = len(content) + 2
        head = HEADER.pack(PduType.P_DATA_TF, size + 4) + PDV_HEADER.pack(size, context.id, control)
        self.stream.write((head, content))
        if self.stream.is_writable:
            return
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self.stream.drained()
        except TimeoutError:
            self.drop("the peer takes nothing")
            raise AssociationLost("the peer takes nothing") from None

    # The end.

    @property
    def is_open(self) -> bool:
        """False after it was released, aborted or cut."""
        return self._lost is None and not self._release_asked

    async def wait_ended(self) -> None:
        """Wait until the peer has asked for the release, or the association is lost."""
        await self._ended.wait()

    async def release(self, timeout_seconds: float = 10.0) -> None:
        """End it in order, as requestor; a peer that does not answer is cut off."""
        if self._lost is not None:
            return
        self.stream.write((RELEASE_RQ_PDU,))
        try:
            async with asyncio.timeout(timeout_seconds):
                while await self.receive() is not None:
                    pass  # what crossed our request
        except (AssociationLost, TimeoutError):
            pass
        self._lose("it was released")
        self.stream.close()

    def confirm_release(self) -> None:
        """Answer the peer's release, and leave the closing to it."""
        self.stream.write((RELEASE_RP_PDU,))
        self._lose("the peer has released it")

    def abort(self, reason: AbortReason | None = None, *, why: str = "it was aborted here") -> None:
        """End it at once: by our own wish, or because of what the peer did."""
        if self._lost is None:
            self.stream.write((abort_pdu(reason),))
        self._lose(why)
        self.stream.close()

    def drop(self, why: str) -> None:
        """End it at once with a peer that takes nothing, so that an abort would not reach it either."""
        self._lose(why)
        self.stream.drop()

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = AssociationLost(why)
            self._ended.set()
            if self._incoming is not None:
                self._incoming[1].lose(self._lost)
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # What the connection tells.

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """A release or an abort; anything else has no place here."""
        if kind is PduType.RELEASE_RQ and not self._release_asked:
            self._release_asked = True
            self._ended.set()
            self._waiting.append(None)
            self._wake()
        elif kind is PduType.RELEASE_RP:
            self._waiting.append(None)
            self._wake()
        elif kind is PduType.ABORT:
            self._lose("the peer has aborted it")
            self.stream.close()
        else:
            raise InvalidPdu(f"a PDU of type {int(kind)} within an association", AbortReason.UNEXPECTED_PDU)

    def fragment_received(self, context_id: int, control: int, content: bytes, *, ends: bool) -> None:
        """A part of a command set or of a data set."""
        context = self.contexts.get(context_id)
        if context is None:
            raise InvalidPdu("a message in a presentation context that was not accepted")
        is_last = ends and bool(control & IS_LAST)
        if control & IS_COMMAND:
            self._take_command(context, content, is_last)
            return
        if self._incoming is None or self._incoming[0] != context_id:
            raise InvalidPdu("a data set without its command", AbortReason.UNEXPECTED_PARAMETER)
        data = self._incoming[1]
        data.add(content)
        if is_last:
            self._incoming, self.message_since = None, None
            data.end()

    def pdu_refused(self, error: InvalidPdu) -> None:
        """Abort: the peer does not keep to the Standard."""
        self.abort(error.reason, why=str(error))

    def connection_lost(self) -> None:
        """The connection is gone without a release."""
        self._lose("the connection was cut")

    def _take_command(self, context: Context, content: bytes, is_last: bool) -> None:
        if self._incoming is not None or (self._command and self._command_context != context.id):
            raise InvalidPdu("a command within another message", AbortReason.UNEXPECTED_PARAMETER)
        if not self._command:
            self._command_context, self.message_since = context.id, self._loop.time()
        self._command += content
        if len(self._command) > MAX_COMMAND_BYTES:
            raise InvalidPdu(f"a command set has more than {MAX_COMMAND_BYTES} bytes")
        if not is_last:
            return
        command = decode_command(bytes(self._command))
        self._command.clear()
        data = None
        if command.has_data_set:
            data = IncomingDataSet(self.stream, MOST_HELD_BYTES)
            self._incoming = (context.id, data)
        else:
            self.message_since = None
        if command.command_field == CommandField.C_CANCEL:
            if command.message_id_responded_to is not None and len(self.cancelled) < _MOST_WAITING:
                self.cancelled.add(command.message_id_responded_to)
            return
        if len(self._waiting) >= _MOST_WAITING:
            raise InvalidPdu("too many requests before the answers to those before", AbortReason.UNEXPECTED_PDU)
        if command.message_id is not None:
            self.cancelled.discard(command.message_id)  # of an earlier request that had ended when its cancel came
        self._waiting.append(Message(context, command, data))
        self._wake()
