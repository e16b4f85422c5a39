"""Many uploads over StoreInstances: in flight together, and sent again where the stream or the service broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc

from imaging.client.outgoing_messages import OutgoingMessages
from imaging.client.patience import Attempts, Patience, is_worth_retrying
from imaging.client.upload import (
    RESUMABLE_BYTES,
    WHOLE_BYTES,
    StoreResult,
    Upload,
    chunk_messages,
    header_message,
    whole_message,
)
from imaging.client.upload_queue import PendingUpload, UploadQueue
from imaging.errors import ImagingError, Unavailable
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_pb2, storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_MOST_REJECTIONS = 12
"""An upload that is turned away for lack of room or of a dependency comes again at most this often."""

_Request = storage_service_pb2.StoreInstancesRequest
_Response = storage_service_pb2.StoreInstancesResponse
_Call = grpc.aio.StreamStreamCall[_Request, _Response]


class UploadStream:
    """One use of StoreInstances: iterate `results()` once."""

    def __init__(
        self,
        stub: StorageStub,
        uploads: Iterable[Upload] | AsyncIterable[Upload],
        *,
        origin: storage_pb2.Origin | None,
        source: str,
        patience: Patience,
        on_sent: Callable[[str, int], None] | None = None,
        most_in_flight: int = 64,
        most_bytes_in_flight: int = 64 << 20,
    ) -> None:
        self._stub = stub
        self._queue = UploadQueue(uploads, most_in_flight, most_bytes_in_flight)
        self._origin = origin
        self._source = source
        self._patience = patience
        self._on_sent = on_sent

    async def results(self) -> AsyncGenerator[StoreResult]:
        """One result for each upload, in the order in which they were decided.

        Raises
        ------
        ImagingError
            If the stream as a whole fails and patience is at its end, or the failure is not worth a retry.
        """
        attempts = Attempts(self._patience)
        try:
            while not self._queue.is_done:
                try:
                    with domain_errors():
                        async with aclosing(self._one_stream(attempts)) as results:
                            async for result in results:
                                yield result
                    if not self._queue.is_done:
                        raise Unavailable("Storage ended the stream before it had answered every upload")
                except ImagingError as error:
                    await attempts.fail(error)
            for result in self._queue.take_unreadable():
                yield result
        finally:
            await self._queue.close()

    async def _one_stream(self, attempts: Attempts) -> AsyncGenerator[StoreResult]:
        self._queue.send_everything_again()
        requests: OutgoingMessages[_Request] = OutgoingMessages()
        call: _Call = self._stub.StoreInstances(requests)
        sender = asyncio.create_task(self._send_all(call, requests), name="store-instances-sender")
        try:
            while (response := await self._read(call)) is not None:
                attempts.succeed()
                result = self._take(response)
                for unreadable in self._queue.take_unreadable():
                    yield unreadable
                if result is not None:
                    yield result
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await requests.end()

    async def _read(self, call: _Call) -> _Response | None:
        try:
            response = await call.read()
            return response if isinstance(response, _Response) else None
        except (asyncio.CancelledError, grpc.RpcError) as error:
            if self._queue.source_error is not None:
                raise self._queue.source_error from None
            if isinstance(error, grpc.aio.AioRpcError) and _broke_while_writing(error):
                raise Unavailable("The stream broke while an upload was written") from None
            raise

    def _take(self, response: _Response) -> StoreResult | None:
        pending = self._queue.get(response.upload_id)
        if pending is None:
            return None
        kind = response.WhichOneof("outcome")
        if kind == "ready" and pending.persisted is not None and not pending.persisted.done():
            pending.persisted.set_result(response.ready.persisted_size_bytes)
        elif kind == "stored":
            self._queue.answer(pending)
            return StoreResult(pending.upload.id, response.stored.instance, response.stored.outcome)
        elif kind == "rejected":
            return self._rejected(pending, from_status(response.rejected))
        return None

    def _rejected(self, pending: PendingUpload, error: ImagingError) -> StoreResult | None:
        if is_worth_retrying(error) and pending.rejections < _MOST_REJECTIONS:
            pending.forget_persisted()
            delay = self._patience.delay_seconds(pending.rejections, error)
            pending.rejections += 1
            asyncio.get_running_loop().call_later(delay, self._queue.send_again, pending)
            return None
        self._queue.answer(pending)
        return StoreResult(pending.upload.id, None, storage_pb2.STORE_OUTCOME_UNSPECIFIED, error)

    async def _send_all(self, call: _Call, requests: OutgoingMessages[_Request]) -> None:
        try:
            while (pending := await self._queue.next()) is not None:
                try:
                    await self._send(requests, pending)
                except OSError as error:
                    self._queue.fail(pending, error)
            await requests.finish()
        except BaseException:
            call.cancel()
            raise

    async def _send(self, requests: OutgoingMessages[_Request], pending: PendingUpload) -> None:
        if pending.size_bytes > WHOLE_BYTES:
            await self._send_chunks(requests, pending)
            return
        content = pending.upload.content
        if not isinstance(content, bytes):
            content = await asyncio.to_thread(content.read_bytes)
            if len(content) > WHOLE_BYTES:
                raise OSError("it grows while it is read")
        await requests.put(whole_message(pending.upload, pending.wire_id, content, self._origin, self._source))

    async def _send_chunks(self, requests: OutgoingMessages[_Request], pending: PendingUpload) -> None:
        pending.persisted = asyncio.get_running_loop().create_future()
        await requests.put(
            header_message(pending.upload, pending.wire_id, pending.size_bytes, self._origin, self._source)
        )
        start = 0
        if pending.size_bytes > RESUMABLE_BYTES:
            try:
                start = await asyncio.shield(pending.persisted)
            except asyncio.CancelledError:
                if pending.persisted.cancelled():
                    return  # rejected before its bytes were asked for
                raise
        self._tell_sent(pending, start)
        rejections = pending.rejections
        messages = chunk_messages(pending.wire_id, pending.upload.content, start)
        while (message := await asyncio.to_thread(next, messages, None)) is not None:
            if pending.is_answered or pending.rejections != rejections:
                return
            await requests.put(message)
            if message.HasField("data"):
                self._tell_sent(pending, message.data.offset + len(message.data.content))

    def _tell_sent(self, pending: PendingUpload, sent_bytes: int) -> None:
        if self._on_sent is not None:
            self._on_sent(pending.upload.id, sent_bytes)


def _broke_while_writing(error: grpc.aio.AioRpcError) -> bool:
    """True for the status that grpc makes up when it writes to a call that has just ended; the real one is lost."""
    return error.code() is grpc.StatusCode.INTERNAL and "from Core" in (error.details() or "")
