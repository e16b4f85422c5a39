"""Many uploads over StoreInstances: in flight together, and sent again where the stream or the service broke."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from imaging.client.patience import Attempts, Patience, is_worth_retrying
from imaging.client.upload import (
    RESUMABLE_BYTES,
    WHOLE_BYTES,
    StoreResult,
    Upload,
    chunk_messages,
    header_message,
    whole_message,
    wire_id,
)
from imaging.errors import ImagingError, InvalidArgument, Overloaded, Unavailable
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_pb2, storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_NOT_STORED = storage_pb2.STORE_OUTCOME_UNSPECIFIED
_MOST_REJECTED_TRIES = 12
"""An upload that is turned away for lack of room or of a dependency comes again at most this often."""

_Call = grpc.aio.StreamStreamCall[storage_service_pb2.StoreInstancesRequest, storage_service_pb2.StoreInstancesResponse]


@dataclass(slots=True)
class _Pending:
    upload: Upload
    wire_id: str
    size_bytes: int
    rejected: int = 0
    answered: bool = False
    persisted: asyncio.Future[int] | None = field(default=None)


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
        most_in_flight: int = 64,
        most_bytes_in_flight: int = 64 << 20,
    ) -> None:
        self._stub = stub
        self._source_uploads = _iterate(uploads)
        self._origin = origin
        self._source = source
        self._patience = patience
        self._most_in_flight = most_in_flight
        self._most_bytes = most_bytes_in_flight
        self._unanswered: dict[str, _Pending] = {}
        self._again: deque[_Pending] = deque()
        self._ready: deque[StoreResult] = deque()
        self._bytes_in_flight = 0
        self._exhausted = False
        self._count = 0
        self._changed = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None
        self._source_error: Exception | None = None

    async def results(self) -> AsyncGenerator[StoreResult]:
        """One result for each upload, in the order in which they were decided.

        Raises
        ------
        ImagingError
            If the stream as a whole fails and patience is at its end, or the failure is not worth a retry.
        """
        attempts = Attempts(self._patience)
        try:
            while not (self._exhausted and not self._unanswered):
                try:
                    with domain_errors():
                        async for result in self._one_stream(attempts):
                            yield result
                    if self._unanswered:
                        raise Unavailable("Storage ended the stream before it had answered every upload")
                except ImagingError as error:
                    await attempts.fail(error)
            while self._ready:
                yield self._ready.popleft()
        finally:
            if self._fetching is not None:
                self._fetching.cancel()
                await asyncio.gather(self._fetching, return_exceptions=True)
            await self._source_uploads.aclose()

    async def _one_stream(self, attempts: Attempts) -> AsyncGenerator[StoreResult]:
        self._again = deque(self._unanswered.values())
        call: _Call = self._stub.StoreInstances()
        sender = asyncio.create_task(self._send_all(call), name="store-instances-sender")
        try:
            while (response := await self._read(call)) is not None:
                attempts.succeed()
                result = self._take(response)
                while self._ready:
                    yield self._ready.popleft()
                if result is not None:
                    yield result
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _read(self, call: _Call) -> storage_service_pb2.StoreInstancesResponse | None:
        try:
            response = await call.read()
            return response if isinstance(response, storage_service_pb2.StoreInstancesResponse) else None
        except (asyncio.CancelledError, grpc.RpcError) as error:
            if self._source_error is not None:
                raise self._source_error from None
            if isinstance(error, grpc.aio.AioRpcError) and _broke_while_writing(error):
                raise Unavailable("The stream broke while an upload was written") from None
            raise

    def _take(self, response: storage_service_pb2.StoreInstancesResponse) -> StoreResult | None:
        pending = self._unanswered.get(response.upload_id)
        if pending is None:
            return None
        kind = response.WhichOneof("outcome")
        if kind == "ready":
            if pending.persisted is not None and not pending.persisted.done():
                pending.persisted.set_result(response.ready.persisted_size_bytes)
            return None
        if kind == "stored":
            self._answer(pending)
            stored = response.stored
            return StoreResult(pending.upload.id, stored.instance, stored.outcome)
        if kind == "rejected":
            return self._rejected(pending, from_status(response.rejected))
        return None

    def _rejected(self, pending: _Pending, error: ImagingError) -> StoreResult | None:
        self._give_up_ready(pending)
        if is_worth_retrying(error) and pending.rejected < _MOST_REJECTED_TRIES:
            pending.rejected += 1
            delay = error.retry_after_seconds if isinstance(error, Overloaded) else 0.05 * 2**pending.rejected
            longest = self._patience.longest_delay.total_seconds()
            asyncio.get_running_loop().call_later(min(delay, longest), self._send_again, pending)
            return None
        self._answer(pending)
        return StoreResult(pending.upload.id, None, _NOT_STORED, error)

    def _send_again(self, pending: _Pending) -> None:
        if not pending.answered and pending not in self._again:
            self._again.append(pending)
            self._changed.set()

    def _answer(self, pending: _Pending) -> None:
        pending.answered = True
        self._give_up_ready(pending)
        del self._unanswered[pending.wire_id]
        self._bytes_in_flight -= pending.size_bytes
        self._changed.set()

    @staticmethod
    def _give_up_ready(pending: _Pending) -> None:
        if pending.persisted is not None and not pending.persisted.done():
            pending.persisted.cancel()

    async def _send_all(self, call: _Call) -> None:
        try:
            while (pending := await self._next()) is not None:
                await self._send(call, pending)
            await call.done_writing()
        except (asyncio.InvalidStateError, grpc.RpcError):
            pass  # the call ended while we wrote: the reader meets its status
        except BaseException:
            call.cancel()
            raise

    async def _next(self) -> _Pending | None:
        """What to send next; None when everything was answered."""
        while True:
            self._changed.clear()
            if self._again:
                return self._again.popleft()
            if self._source_error is not None:
                raise self._source_error
            if self._exhausted and not self._unanswered:
                return None
            if not self._exhausted and self._fetching is None and self._has_room():
                self._fetching = asyncio.create_task(self._fetch(), name="store-instances-fetch")
            await self._changed.wait()

    async def _fetch(self) -> None:
        """Take uploads from the caller while there is room.

        A task of its own: it outlives a broken stream, so that no upload is lost between the caller and us.
        """
        try:
            while self._has_room():
                upload = await anext(self._source_uploads, None)
                if upload is None:
                    self._exhausted = True
                    return
                await self._admit(upload)
                self._changed.set()
        except Exception as error:  # noqa: BLE001  the caller's iterator may raise anything; the caller gets it back
            self._source_error = error
        finally:
            self._fetching = None
            self._changed.set()

    def _has_room(self) -> bool:
        return not self._unanswered or (
            len(self._unanswered) < self._most_in_flight and self._bytes_in_flight < self._most_bytes
        )

    async def _admit(self, upload: Upload) -> None:
        try:
            size = len(upload.content) if isinstance(upload.content, bytes) else await _file_size(upload.content)
        except OSError as error:
            self._ready.append(_unreadable(upload, error))
            return
        self._count += 1
        pending = _Pending(upload, wire_id(size, self._count), size)
        self._unanswered[pending.wire_id] = pending
        self._bytes_in_flight += size
        self._again.append(pending)

    async def _send(self, call: _Call, pending: _Pending) -> None:
        try:
            if pending.size_bytes <= WHOLE_BYTES:
                content = pending.upload.content
                data = content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
                await call.write(whole_message(pending.upload, pending.wire_id, data, self._origin, self._source))
            else:
                await self._send_chunks(call, pending)
        except OSError as error:
            if not pending.answered:
                self._ready.append(_unreadable(pending.upload, error))
                self._answer(pending)

    async def _send_chunks(self, call: _Call, pending: _Pending) -> None:
        pending.persisted = asyncio.get_running_loop().create_future()
        await call.write(
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
        rejected = pending.rejected
        messages = chunk_messages(pending.wire_id, pending.upload.content, start)
        while (message := await asyncio.to_thread(next, messages, None)) is not None:
            if pending.answered or pending.rejected != rejected:
                return
            await call.write(message)


def _broke_while_writing(error: grpc.aio.AioRpcError) -> bool:
    """True for the status that grpc makes up when it writes to a call that has just ended; the real one is lost."""
    return error.code() is grpc.StatusCode.INTERNAL and "from Core" in (error.details() or "")


async def _file_size(path: Path) -> int:
    return (await asyncio.to_thread(path.stat)).st_size


def _unreadable(upload: Upload, error: OSError) -> StoreResult:
    reason = error.strerror or type(error).__name__
    return StoreResult(
        upload.id,
        None,
        _NOT_STORED,
        InvalidArgument(f"The file cannot be read: {reason}", hint="Check that it is there and that you may read it."),
    )


async def _iterate(uploads: Iterable[Upload] | AsyncIterable[Upload]) -> AsyncGenerator[Upload]:
    if isinstance(uploads, AsyncIterable):
        async for upload in uploads:
            yield upload
    else:
        for upload in uploads:
            yield upload
