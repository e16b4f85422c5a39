"""The StoreInstances stream of an association: opened with its first instance, one instance after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import google_crc32c

from imaging.client.outgoing_messages import OutgoingMessages
from imaging.client.patience import Attempts, Patience
from imaging.errors import DeadlineExceeded, ImagingError, Unavailable
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

WHOLE_BYTES: Final = 3_500_000
"""An instance up to this size goes whole in one message, and again if storage was away for a moment."""

CHUNK_BYTES: Final = 1 << 20
"""A larger one goes in chunks of at most this size, as it arrives."""

Outcome = asyncio.Future[pb.StoreInstancesResponse.Stored]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the sender's command says of the instance that follows."""

    sop_class_uid: str
    sop_instance_uid: str
    source: str

    def header(self) -> pb.StoreInstancesRequest.Header:
        """For storage, which refuses another instance."""
        return pb.StoreInstancesRequest.Header(
            sop_class_uid=self.sop_class_uid, sop_instance_uid=self.sop_instance_uid, source=self.source
        )


class StorageUpload:
    """Uploads one instance at a time; every failure is an `ImagingError`, and the next instance may be tried after it.

    Parameters
    ----------
    answer_seconds
        Longest wait for storage, for it to take a message or to answer: a sender does not wait for ever either.
    """

    def __init__(self, stub: StorageStub, *, answer_seconds: float) -> None:
        self._stub = stub
        self._answer_seconds = answer_seconds
        self._stream: _Stream | None = None
        self._count = 0

    async def store_whole(self, announced: Announcement, pieces: Sequence[bytes]) -> pb.StoreInstancesResponse.Stored:
        """Store an instance that is in memory. While storage is away it is tried again for some seconds.

        Raises
        ------
        ImagingError
            Why it is not stored.
        """
        content = b"".join(pieces)
        header = announced.header()
        header.size_bytes, header.object_crc32c = len(content), google_crc32c.value(content)
        attempts = Attempts(Patience(give_up_after=timedelta(seconds=self._answer_seconds / 3)))
        while True:
            message = pb.StoreInstancesRequest(upload_id=self._next_id(), header=header)
            message.data.content = content
            message.finish.SetInParent()
            try:
                stream, outcome = await self._begin(message)
                return await self._answer(stream, outcome)
            except ImagingError as error:
                await attempts.fail(error)

    async def store_chunks(
        self, announced: Announcement, chunks: AsyncIterator[bytes]
    ) -> pb.StoreInstancesResponse.Stored:
        """Store an instance of a size that nobody knows yet, chunk by chunk.

        Raises
        ------
        ImagingError
            Why it is not stored; not all chunks may have been taken then.
        """
        header = announced.header()
        header.size_follows = True
        upload_id, offset, crc = self._next_id(), 0, 0
        stream, outcome = await self._begin(pb.StoreInstancesRequest(upload_id=upload_id, header=header))
        async for chunk in chunks:
            message = pb.StoreInstancesRequest(upload_id=upload_id)
            message.data.offset, message.data.content = offset, chunk
            message.data.crc32c = google_crc32c.value(chunk)
            offset, crc = offset + len(chunk), google_crc32c.extend(crc, chunk)
            await self._put(stream, message)
            if outcome.done():  # refused before its end
                return await outcome
        message = pb.StoreInstancesRequest(upload_id=upload_id)
        message.finish.object_crc32c, message.finish.size_bytes = crc, offset
        await self._put(stream, message)
        return await self._answer(stream, outcome)

    async def close(self) -> None:
        """End the stream; an upload that was not finished leaves nothing behind in storage."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    def _next_id(self) -> str:
        self._count += 1
        return str(self._count)

    async def _begin(self, message: pb.StoreInstancesRequest) -> tuple[_Stream, Outcome]:
        if self._stream is not None and self._stream.failure is not None:
            await self.close()
        if self._stream is None:
            self._stream = _Stream(self._stub)
        outcome = self._stream.expect(message.upload_id)
        await self._put(self._stream, message)
        return self._stream, outcome

    async def _put(self, stream: _Stream, message: pb.StoreInstancesRequest) -> None:
        async with self._deadline(stream):
            await stream.put(message)

    async def _answer(self, stream: _Stream, outcome: Outcome) -> pb.StoreInstancesResponse.Stored:
        async with self._deadline(stream):
            return await outcome

    @asynccontextmanager
    async def _deadline(self, stream: _Stream) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._answer_seconds):
                yield
        except TimeoutError:
            silent = DeadlineExceeded(
                f"Storage did not answer within {self._answer_seconds:g} s",
                where="storage",
                hint="Send the instance again: if it was stored meanwhile, that is no harm.",
            )
            await stream.fail(silent)
            raise silent from None


class _Stream:
    """One call of StoreInstances, read by a task of its own, so that a broken one is noticed while it is written to."""

    def __init__(self, stub: StorageStub) -> None:
        self.failure: ImagingError | None = None
        self._requests: OutgoingMessages[pb.StoreInstancesRequest] = OutgoingMessages()
        self._call: Any = stub.StoreInstances(self._requests)
        self._expected: dict[str, Outcome] = {}
        self._reader = asyncio.create_task(self._read(), name="store-instances-reader")

    def expect(self, upload_id: str) -> Outcome:
        """The outcome of an upload, or the error why there is none."""
        outcome: Outcome = asyncio.get_running_loop().create_future()
        self._expected[upload_id] = outcome
        return outcome

    async def put(self, message: pb.StoreInstancesRequest) -> None:
        """Send a message, once storage has taken those before."""
        if self.failure is None:
            await self._requests.put(message)
        if self.failure is not None:
            raise self.failure

    async def fail(self, error: ImagingError) -> None:
        """Give the call up."""
        if self.failure is None:
            self.failure = error
        self._call.cancel()
        await self._requests.end()
        for outcome in self._expected.values():
            if not outcome.done():
                outcome.set_exception(error)
                outcome.exception()  # nobody may be waiting for it
        self._expected.clear()

    async def close(self) -> None:
        """End the call."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.fail(Unavailable("The upload was ended"))

    async def _read(self) -> None:
        try:
            with domain_errors("storage"):
                while isinstance(response := await self._call.read(), pb.StoreInstancesResponse):
                    self._take(response)
            raise Unavailable("Storage has ended the stream", where="storage")
        except ImagingError as error:
            await self.fail(error)

    def _take(self, response: pb.StoreInstancesResponse) -> None:
        kind = response.WhichOneof("outcome")
        if kind not in ("stored", "rejected"):
            return
        outcome = self._expected.pop(response.upload_id, None)
        if outcome is None or outcome.done():
            return
        if kind == "stored":
            outcome.set_result(response.stored)
        else:
            outcome.set_exception(from_status(response.rejected))
            outcome.exception()
